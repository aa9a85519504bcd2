import { Effect } from "effect"
import type { Duplex } from "node:stream"
import pg from "pg"

/** What `pg` knows of a connection and its types do not tell. */
export interface Internals {
  readonly host: string
  readonly port: number
  readonly ssl: boolean | object
  readonly sslNegotiation: string
  readonly processID: number | null
  readonly secretKey: number | null
  readonly connection: { readonly stream: Duplex }
}

interface RawConnection extends NodeJS.EventEmitter {
  readonly stream: Duplex
  readonly connect: (portOrPath: number | string, host?: string) => void
  readonly requestSsl: () => void
  readonly cancel: (processID: number, secretKey: number) => void
}

/**
 * Asks the server to give up what this connection is running, over a connection made for the purpose. It neither needs
 * one of a pool, which may have none to spare, nor one of the server's slots, and a connection pooler in between
 * understands it, as it would not understand `pg_cancel_backend`.
 *
 * Completes once the server has hung up, which it does after the signal was sent. Best effort: it never fails.
 */
export const cancelRequest = (client: Internals): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const { processID, secretKey } = client
    if (processID === null || secretKey === null) return resume(Effect.void)
    const connection = new pg.Connection({ ssl: client.ssl } as pg.ConnectionConfig) as unknown as RawConnection
    const cancel = () => connection.cancel(processID, secretKey)
    connection.once(
      "connect",
      client.ssl && client.sslNegotiation !== "direct" ? () => connection.requestSsl() : cancel
    )
    connection.once("sslconnect", cancel)
    connection.on("error", () => resume(Effect.void))
    connection.once("end", () => resume(Effect.void))
    if (client.host.startsWith("/")) connection.connect(`${client.host}/.s.PGSQL.${client.port}`)
    else connection.connect(client.port, client.host)
    return Effect.sync(() => connection.stream.destroy())
  })
