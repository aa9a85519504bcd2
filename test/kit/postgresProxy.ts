import * as Net from "node:net"

/** The milliseconds between an error and the next message: longer than a client needs to act on the error. */
const pause = 20

const isError = (message: Buffer) => message[0] === "E".charCodeAt(0)

/** Splits the output of PostgreSQL into messages: a letter, and a length that includes itself. */
const messages = () => {
  let rest = Buffer.alloc(0)
  return (chunk: Buffer): ReadonlyArray<Buffer> => {
    rest = Buffer.concat([rest, chunk])
    const whole: Array<Buffer> = []
    while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
      const end = 1 + rest.readUInt32BE(1)
      whole.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    return whole
  }
}

interface Change {
  readonly message?: (message: Buffer) => Buffer
  /** The milliseconds between this message and the next. */
  readonly pauseAfter?: (message: Buffer) => number
}

const pass = (client: Net.Socket, server: Net.Socket, { message: change = (same) => same, pauseAfter }: Change) => {
  const cut = messages()
  let last: Promise<unknown> = Promise.resolve()
  server.on("data", (chunk: Buffer) => {
    for (const message of cut(chunk)) {
      last = last.then(() => {
        client.write(change(message))
        const pause = pauseAfter?.(message) ?? 0
        return pause > 0 ? new Promise((resolve) => setTimeout(resolve, pause)) : undefined
      })
    }
  })
  server.on("close", () => void last.then(() => client.end()))
  for (const socket of [client, server]) socket.setNoDelay(true).on("error", () => undefined)
  client.pipe(server)
  client.on("close", () => server.destroy())
}

/** Listens in front of a PostgreSQL server. */
const inFrontOf = async (url: string, accept: (client: Net.Socket, server: Net.Socket) => void) => {
  const behind = new URL(url)
  const server = Net.createServer((client) =>
    accept(client, Net.connect(Number(behind.port === "" ? 5432 : behind.port), behind.hostname))
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const front = new URL(url)
  front.hostname = "127.0.0.1"
  front.port = String((server.address() as Net.AddressInfo).port)
  return { url: front.toString(), close: () => new Promise<unknown>((resolve) => server.close(resolve)) }
}

/** A proxy to a PostgreSQL server that changes what the server sends. */
const proxy = (url: string, change: Change) => inFrontOf(url, (client, server) => pass(client, server, change))

/**
 * A proxy that forgets its connections when it is told to, as a firewall or a failover does: nothing passes any more, and neither side
 * is told. Connections that are made afterwards work.
 */
export const forgetful = async (url: string) => {
  const pairs = new Set<ReadonlyArray<Net.Socket>>()
  const front = await inFrontOf(url, (client, server) => {
    pairs.add([client, server])
    for (const socket of [client, server]) socket.setNoDelay(true).on("error", () => undefined)
    client.pipe(server).pipe(client)
    client.on("close", () => server.destroy())
  })
  return {
    ...front,
    /** Returns how many connections it has forgotten. */
    forget: () => {
      const open = [...pairs].filter(([client]) => !client!.destroyed)
      for (const [client, server] of open) {
        client!.unpipe(server).pause()
        server!.unpipe(client).pause()
      }
      return open.length
    },
    close: () => {
      for (const socket of [...pairs].flat()) socket.destroy()
      return front.close()
    }
  }
}

/**
 * A proxy that delays the messages after each error, such as ReadyForQuery. The server writes both at once, but a network can split
 * them anywhere.
 */
export const splitErrors = (url: string) => proxy(url, { pauseAfter: (message) => isError(message) ? pause : 0 })

/** A proxy that gives its clients pids of its own (BackendKeyData), as a pooler does. */
export const likePooler = (url: string) =>
  proxy(url, {
    message: (message) => {
      if (message[0] !== "K".charCodeAt(0)) return message
      const changed = Buffer.from(message)
      changed.writeUInt32BE(1, 5)
      return changed
    }
  })

/** A proxy that counts how often the server has said that it is ready for the next message (ReadyForQuery): the round trips. */
export const countRoundTrips = async (url: string) => {
  let count = 0
  const front = await proxy(url, {
    message: (message) => {
      if (message[0] === "Z".charCodeAt(0)) count++
      return message
    }
  })
  return { ...front, count: () => count }
}
