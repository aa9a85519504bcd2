import { type Duration, Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as Drain from "../../../../core/Drain.js"
import { Database, execute, SqlClientTag } from "../../../database/contract.js"
import { checkTableName, migrate } from "../../internal/jobTable.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSource, type Service } from "../../JobSource.js"
import { ledgerOf, type Patience } from "./ledger.js"
import * as Queue from "./queue.js"
import { makeRelay, type Relay } from "./relay.js"
import { channelOf, outboxTable } from "./statements.js"

interface Entry extends Relay {
  readonly name: string
  readonly wakeUp: WakeUp.WakeUp
  readonly fiber: Fiber.RuntimeFiber<never>
}

/** See `JobSourceOutbox.layer`. Moves what is offered, until the scope closes; then once more. */
export const make = (
  options: Drain.Timeouts & {
    readonly table: string
    readonly pollInterval: Duration.Duration
    readonly patience: Patience
  }
) =>
  Effect.gen(function*() {
    const { drainTimeout, patience, pollInterval, releaseTimeout, table } = options
    yield* checkTableName(table)
    const { listen, reserved } = yield* Database
    const sql = yield* SqlClientTag
    const engine = yield* JobSource
    // The relays use the engine until the end of the drain, so its queues are theirs to close.
    const scope = yield* Scope.make()
    const counts = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

    const relays = yield* Drain.acquire({
      name: "outbox",
      drainTimeout,
      releaseTimeout,
      acquire: Effect.sync(() => new Map<string, Entry>()),
      // The rows are there for every process, and for this one when it starts again: to move them now is a courtesy.
      drain: (relays) =>
        Effect.forEach(relays.values(), ({ flush }) =>
          Effect.matchEffect(flush, {
            onSuccess: (moved) => Effect.sync(() => (counts.finished += moved)),
            onFailure: (error) => Effect.logInfo("outbox: what was offered is left to others", error)
          }), { discard: true }),
      release: (relays) =>
        Effect.zipRight(
          Fiber.interruptAll(Array.from(relays.values(), ({ fiber }) => fiber)),
          Scope.close(scope, Exit.void)
        ),
      progress: () => counts
    })

    /** One relay for each queue, on a connection that jobs never hold. */
    const relay = (name: string) =>
      Effect.gen(function*() {
        const wakeUp = yield* WakeUp.make(pollInterval)
        const relay = makeRelay({
          ledger: ledgerOf(reserved, table, name),
          engine: yield* Scope.extend(engine.open({ name }), scope),
          wakeUp,
          patience
        })
        // Another one may have been opened meanwhile; rows are moved by whoever is first.
        if (relays.has(name)) return
        relays.set(name, { ...relay, name, wakeUp, fiber: yield* Effect.forkDaemon(Effect.interruptible(relay.run)) })
      }).pipe(Effect.uninterruptible)

    yield* Effect.forkScoped(
      Stream.runForEach(listen(channelOf(table)), (name) => WakeUp.notify(relays.values(), name))
    )

    const source: Service = {
      durable: true,
      renewEvery: engine.renewEvery,
      open: (queue) =>
        Effect.gen(function*() {
          const ledger = ledgerOf(sql, table, queue.name)
          yield* Effect.mapError(migrate(outboxTable(table), sql, execute), ledger.failure("open"))
          const opened = yield* engine.open(queue)
          if (!relays.has(queue.name)) yield* relay(queue.name)
          return Queue.make(ledger, ledgerOf(reserved, table, queue.name), opened)
        })
    }
    return source
  })
