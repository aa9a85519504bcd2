import * as Net from "node:net"

/** A bound socket that nothing in this process accepts connections from: what a parent like systemd holds. */
export interface BoundSocket {
  readonly fd: number
  readonly port: number
  readonly close: () => void
}

interface Handle {
  readonly fd: number
  readonly getsockname: (out: { port?: number }) => number
  readonly close: () => void
}

// Node's cluster module binds the sockets of its workers by this function, which is not documented.
const { _createServerHandle: createHandle } = Net as unknown as {
  readonly _createServerHandle: (host: string, port: number, family: 4, fd: -1, flags: 0) => Handle
}

export const bindSocket = (): BoundSocket => {
  const handle = createHandle("127.0.0.1", 0, 4, -1, 0)
  const name: { port?: number } = {}
  handle.getsockname(name)
  return { fd: handle.fd, port: name.port!, close: () => handle.close() }
}
