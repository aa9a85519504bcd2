import { Effect } from "effect"
import type { ServerHttp2Session } from "node:http2"
import type { Http2Connection } from "./http2.js"
import { forEachInBatches } from "./timeoutQueue.js"

/** As long as Node keeps an idle connection of HTTP/1.1 by default. */
const readingInterval = "5 seconds"

/**
 * The connections of the HTTP/2 sessions that are open. A session must not lead to its socket once that is closed, as a
 * `WeakMap` would let it do: up to Node 22, one whose client broke the protocol then stays in memory for good.
 */
export class Http2Sessions {
  private readonly connections = new Map<ServerHttp2Session, Http2Connection>()
  private readonly nonEmpty = Effect.unsafeMakeLatch(false)

  get(session: ServerHttp2Session): Http2Connection | undefined {
    return this.connections.get(session)
  }
  add(session: ServerHttp2Session, connection: Http2Connection): void {
    this.connections.set(session, connection)
    this.nonEmpty.unsafeOpen()
  }
  delete(session: ServerHttp2Session): void {
    this.connections.delete(session)
    if (this.connections.size === 0) this.nonEmpty.unsafeClose()
  }

  /**
   * Makes Node notice that clients have gone: see `Http2Connection.resumeReading`. It does so at intervals, because Node
   * reports no event when it stops reading.
   */
  readonly resumeReading: Effect.Effect<never> = Effect.gen(this, function*() {
    while (true) {
      yield* this.nonEmpty.await
      yield* Effect.sleep(readingInterval)
      const connections = Effect.sync(() => Array.from(this.connections.values()))
      yield* forEachInBatches(connections, (connection) => connection.resumeReading())
    }
  })
}
