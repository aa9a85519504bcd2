/**
 * Commands that are sent while the event loop is blocked, on a connection whose socket is on a thread. `ioredis` reads and writes its sockets on the
 * event loop, and a second client in a worker would need the files of `ioredis` beside a bundle.
 */
import { type Duration, Effect, type Scope } from "effect"
import type { Redis, RedisOptions } from "ioredis"
import {
  makeThreadConnection,
  type Secure,
  type ThreadConnection,
  type ThreadSocket
} from "../../../../core/internal/threadConnection.js"
import type { Target } from "./url.js"

/**
 * A message is the beginning of a command, which ends with the words of the texts: the id and the token of a lock each, `id:token`. No encoded id
 * has a colon. The server answers with numbers. See `threadProgram`.
 */
const protocol = `{
  encode: (command, texts) => {
    const words = [...command, ...texts.flatMap((text) => {
      const end = text.indexOf(":")
      return [text.slice(0, end), text.slice(end + 1)]
    })]
    return "*" + words.length + "\\r\\n" + words.map((word) => "$" + Buffer.byteLength(word) + "\\r\\n" + word + "\\r\\n").join("")
  },
  reader: () => {
    let rest = ""
    let due = 0
    return (data) => {
      const lines = (rest + data).split("\\r\\n")
      rest = lines.pop()
      let answers = 0
      let error
      for (const line of lines) {
        if (due === 0) due = 1
        due += line[0] === "*" ? Number(line.slice(1)) - 1 : -1
        if (due === 0) answers++
        if (line[0] === "-") error = line.slice(1)
      }
      return { answers, error }
    }
  }
}`

/** Gives the driver a socket that is connected, and encrypted, on the thread. The connection of the thread ends it. */
const connectorOn = (open: (secure: Secure | undefined) => ThreadSocket, { host, port, tls }: Target) =>
  class {
    check = () => true
    connect = () =>
      new Promise<ThreadSocket>((resolve, reject) => {
        const socket = open(tls ? { options: { host } } : undefined)
        socket.once("connect", () => resolve(socket)).once("error", reject).connect(port, host)
      })
    disconnect = () => undefined
  } as unknown as NonNullable<RedisOptions["Connector"]>

/** The thread of a source, and its connection, until the scope closes. It connects and signs in as `redis` does. */
export const makeRedisThread = (options: {
  readonly redis: Redis
  readonly target: Target
  readonly connectTimeout: Duration.Duration
}): Effect.Effect<ThreadConnection, never, Scope.Scope> =>
  makeThreadConnection({
    purpose: "leases are not renewed while the event loop is blocked",
    protocol,
    within: options.connectTimeout,
    connect: (open) =>
      Effect.async<void, unknown>((resume) => {
        const fail = (error: unknown) => resume(Effect.fail(error))
        const client = options.redis.duplicate({
          connectionName: "lastcall-leases",
          // The thread encrypts it.
          tls: undefined,
          // The connection of the thread is made anew, with another client.
          retryStrategy: null,
          Connector: connectorOn(open, options.target)
        })
        client.on("error", fail)
        // Every command that the driver sends by itself is answered by then.
        client.connect().then(() => resume(Effect.void), fail)
      })
  })
