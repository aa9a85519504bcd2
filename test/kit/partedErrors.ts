import * as Net from "node:net"

/** How long what follows an error is held back: longer than a client needs to read the error and act on it. */
const pause = 20

const isError = (message: Buffer) => message[0] === "E".charCodeAt(0)

/** Cuts what PostgreSQL sends into its messages: a letter, and a length that counts itself. */
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

const pass = (client: Net.Socket, server: Net.Socket) => {
  const cut = messages()
  let last: Promise<unknown> = Promise.resolve()
  server.on("data", (chunk: Buffer) => {
    for (const message of cut(chunk)) {
      last = last.then(() => {
        client.write(message)
        return isError(message) ? new Promise((resolve) => setTimeout(resolve, pause)) : undefined
      })
    }
  })
  server.on("close", () => void last.then(() => client.end()))
  for (const socket of [client, server]) socket.setNoDelay(true).on("error", () => undefined)
  client.pipe(server)
  client.on("close", () => server.destroy())
}

/**
 * Stands before a PostgreSQL, and lets each error arrive well before the word that its connection is ready again. The
 * server writes both at once, but a network may part them anywhere.
 */
export const partingErrors = async (url: string) => {
  const behind = new URL(url)
  const server = Net.createServer((client) =>
    pass(client, Net.connect(Number(behind.port === "" ? 5432 : behind.port), behind.hostname))
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const front = new URL(url)
  front.hostname = "127.0.0.1"
  front.port = String((server.address() as Net.AddressInfo).port)
  return { url: front.toString(), close: () => new Promise<unknown>((resolve) => server.close(resolve)) }
}
