import { type Duration, Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as Drain from "../../../../core/Drain.js"
import { Database, execute, SqlClientTag } from "../../../database/contract.js"
import { checkTableName, migrate } from "../../internal/jobTable.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSource, type Service } from "../../JobSource.js"
import { sentinelQueue, watchEngine } from "./engineLoss.js"
import { outboxRows } from "./outboxRows.js"
import * as Queue from "./queue.js"
import { makeRelay, type RedeliveryWindow, type Relay } from "./relay.js"
import { channelOf, outboxTable, statementsOf } from "./statements.js"

interface QueueRelay extends Relay {
  readonly name: string
  readonly wakeUp: WakeUp.WakeUp
  readonly fiber: Fiber.RuntimeFiber<never>
}

/** See `JobSourceOutbox.layer`. Moves rows to the engine until the scope closes, and once more then. */
export const make = (
  options: Drain.Timeouts & {
    readonly table: string
    readonly pollInterval: Duration.Duration
    readonly redelivery: RedeliveryWindow
  }
) =>
  Effect.gen(function*() {
    const { drainTimeout, pollInterval, redelivery, releaseTimeout, table } = options
    yield* checkTableName(table)
    const { listen, reserved } = yield* Database
    const sql = yield* SqlClientTag
    const engine = yield* JobSource
    // The engine's queues that the relays use: closed after the drain, in which they are still used.
    const engineScope = yield* Scope.make()
    let watch: Fiber.RuntimeFiber<never> | undefined
    const counts = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

    const relays = yield* Drain.acquire({
      name: "outbox",
      drainTimeout,
      releaseTimeout,
      acquire: Effect.sync(() => new Map<string, QueueRelay>()),
      // Saves the jobs the time until another process moves them: no row is lost when this fails.
      drain: (relays) =>
        Effect.forEach(relays.values(), ({ flush }) =>
          Effect.matchEffect(flush, {
            onSuccess: (moved) => Effect.sync(() => (counts.finished += moved)),
            onFailure: (error) => Effect.logInfo("outbox: the remaining rows are left to other processes", error)
          }), { discard: true }),
      release: (relays) =>
        Effect.zipRight(
          Effect.suspend(() =>
            Fiber.interruptAll([
              ...Array.from(relays.values(), ({ fiber }) => fiber),
              ...watch === undefined ? [] : [watch]
            ])
          ),
          Scope.close(engineScope, Exit.void)
        ),
      progress: () => counts
    })

    /** One relay for each queue, on a connection that jobs never hold. */
    const startRelay = (name: string) =>
      Effect.gen(function*() {
        const wakeUp = yield* WakeUp.make(pollInterval)
        const relay = makeRelay({
          rows: outboxRows(reserved, table, name),
          engine: yield* Scope.extend(engine.open({ name }), engineScope),
          wakeUp,
          redelivery
        })
        const sentinel = yield* Scope.extend(engine.open({ name: sentinelQueue(table) }), engineScope)
        // The queue may have been opened twice at once.
        if (relays.has(name)) return
        watch ??= yield* Effect.forkDaemon(Effect.interruptible(watchEngine({
          sql: reserved,
          statements: statementsOf(table),
          engine: sentinel,
          latest: redelivery.latest,
          every: pollInterval
        })))
        relays.set(name, { ...relay, name, wakeUp, fiber: yield* Effect.forkDaemon(Effect.interruptible(relay.run)) })
      }).pipe(Effect.uninterruptible)

    yield* Effect.forkScoped(
      Stream.runForEach(listen(channelOf(table)), (name) => WakeUp.notify(relays.values(), name))
    )

    const source: Service = {
      durable: true,
      renewEvery: engine.renewEvery,
      orphanTurn: engine.orphanTurn,
      open: (queue) =>
        Effect.gen(function*() {
          const rows = outboxRows(sql, table, queue.name)
          yield* Effect.mapError(migrate(outboxTable(table), sql, execute), rows.failure("open"))
          const engineQueue = yield* engine.open(queue)
          if (!relays.has(queue.name)) yield* startRelay(queue.name)
          return Queue.make(rows, outboxRows(reserved, table, queue.name), engineQueue)
        })
    }
    return source
  })
