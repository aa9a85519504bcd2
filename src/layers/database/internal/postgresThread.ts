/**
 * Statements that run while the event loop is blocked, on a connection whose socket is on a thread. `pg` reads and writes its sockets on the event
 * loop, and a second client in a worker would need the files of `pg` beside a bundle.
 */
import { Effect, type Scope } from "effect"
import {
  makeThreadConnection,
  type Secure,
  type ThreadConnection,
  type ThreadSocket
} from "../../../core/internal/threadConnection.js"
import { clientConfigOf, type ServerOptions } from "./clientConfig.js"
import type { ClientInternals, Pg } from "./peers.js"

/** A message is `{ before, after }`, a statement with the texts between the two. See `threadProgram`. */
const protocol = `{
  encode: ({ after, before }, texts) => {
    const text = Buffer.from(before + texts.join(",") + after + "\\0")
    const head = Buffer.from("Q____")
    head.writeInt32BE(text.length + 4, 1)
    return Buffer.concat([head, text])
  },
  reader: () => {
    let rest = Buffer.alloc(0)
    return (data) => {
      rest = Buffer.concat([rest, data])
      let answers = 0
      let error
      while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
        const end = rest.readInt32BE(1) + 1
        if (rest[0] === 0x5a) answers++
        if (rest[0] === 0x45) error = /\\0M([^\\0]*)/.exec(rest.toString("utf8", 5, end))?.[1] ?? "the server refuses it"
        rest = rest.subarray(end)
      }
      return { answers, error }
    }
  }
}`

/** Asks the server for TLS, which it accepts with an "S". */
const request = { request: Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47), accepts: 83 }

/** As `pg` encrypts a connection. */
const secureOf = ({ host, ssl, sslNegotiation }: ClientInternals): Secure | undefined =>
  ssl === false || ssl === undefined ? undefined : {
    options: {
      host,
      ...ssl === true ? {} : ssl,
      // Not enumerable.
      ...ssl !== true && "key" in ssl ? { key: ssl.key } : {},
      ...sslNegotiation === "direct" ? { ALPNProtocols: ["postgresql"] } : {}
    },
    ...sslNegotiation === "direct" ? {} : request
  }

/** The thread of a database, and its connection, until the scope closes. */
export const makePostgresThread = (
  pg: Pg,
  options: ServerOptions
): Effect.Effect<ThreadConnection, never, Scope.Scope> =>
  makeThreadConnection({
    purpose: "leases are not renewed while the event loop is blocked",
    protocol,
    within: options.connectTimeout,
    connect: (open) =>
      Effect.tryPromise({
        try: async () => {
          if (options.stream !== undefined) throw new Error("the option stream makes sockets that no thread can have")
          const config = clientConfigOf({
            ...options,
            applicationName: `${options.applicationName ?? "lastcall"} leases`
          })
          const secure = secureOf(new pg.Client(config) as unknown as ClientInternals)
          let socket: ThreadSocket | undefined
          const client = new pg.Client({ ...config, stream: () => socket ??= open(secure) })
          client.on("error", () => undefined)
          // The thread encrypts it.
          const internals = client as unknown as { ssl: unknown; readonly connection: { ssl: unknown } }
          internals.ssl = internals.connection.ssl = false
          await client.connect()
        },
        catch: (error) => error
      })
  })
