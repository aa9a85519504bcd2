import type { SqlClient } from "@effect/sql"
import { Effect, Exit, Fiber, type Scope } from "effect"
import { afterCommit, Committing } from "../../../../core/internal/afterCommit.js"
import { bounded } from "../../../../core/internal/bounded.js"
import { type RunningFiber, serviceOf } from "../../../../core/internal/fiberState.js"
import { brief, execute, executeOwn, TransactionTag } from "../../../database/contract.js"
import { everyQueue } from "../../internal/wakeUp.js"
import type { JobSourceError } from "../../JobSource.js"
import { failureOf } from "./rows.js"

/** How long the end of the scope waits for the last notification, which takes milliseconds. Without it polling finds the jobs. */
const lastWithin = "1 second"

const statement = "SELECT pg_notify($1, payload)::text AS sent FROM unnest($2::text[]) AS payload"

/** Wakes what waits for jobs, in this process and in others. */
export interface Notifier {
  /**
   * Runs a statement, or a transaction, and sends `payloads` of what it gives when what it has done is committed; those of `undefined` when the caller is interrupted, because
   * the server may have committed by then. The statement is made for whether that is so: in a transaction that runs nothing after its commit it is not.
   */
  readonly notifying: <A, E, R>(
    queue: string,
    statement: (afterCommit: boolean) => Effect.Effect<A, E, R>,
    payloads: (result: A | undefined) => ReadonlyArray<string>
  ) => Effect.Effect<A, E | JobSourceError, R>
  /** Whether a notification that has been received is one of this process, which has acted on it already. */
  readonly isEcho: (payload: string) => boolean
}

/**
 * Notifies after the commit, and never in the transaction: PostgreSQL commits transactions with a `NOTIFY` one after the other, each with its flush.
 *
 * - This process is woken in memory, by `receive`. The others are notified by one statement at a time, on the reserved connection; what is
 *   committed meanwhile goes with the next one, each payload once.
 * - A statement that fails is tried once more, because a connection may have been lost. What is lost then, or with the process, is left to polling.
 * - Transactions of an app's own client run nothing after their commit: there the notification is part of the transaction.
 */
export const makeNotifier = (options: {
  readonly channel: string
  readonly sql: SqlClient.SqlClient
  readonly reserved: SqlClient.SqlClient
  readonly receive: (payload: string) => Effect.Effect<void>
}): Effect.Effect<Notifier, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { channel, receive, reserved, sql } = options
    const pending = new Set<string>()
    /** How many notifications of this process it has not received yet. */
    const echoes = new Map<string, number>()
    let listens = false
    const wanted = Effect.unsafeMakeLatch(false)
    const idle = Effect.unsafeMakeLatch(true)

    const isEcho = (payload: string) => {
      // Listening has begun: what was sent before is not received.
      if (payload === everyQueue) {
        echoes.clear()
        listens = true
      }
      const expected = echoes.get(payload) ?? 0
      if (expected > 1) echoes.set(payload, expected - 1)
      else echoes.delete(payload)
      return expected > 0
    }

    const sendPending = Effect.suspend(() => {
      const payloads = [...pending]
      pending.clear()
      // Behind some poolers nothing is ever received.
      if (listens) { for (const payload of payloads) echoes.set(payload, (echoes.get(payload) ?? 0) + 1) }
      return execute(reserved, brief(statement), [channel, payloads]).pipe(
        Effect.retry({ times: 1 }),
        Effect.catchAllCause((cause) =>
          Effect.logDebug(`${channel}: other processes were not notified, they find the jobs by polling`, cause).pipe(
            // The notification of another process may have been taken for this one.
            Effect.zipRight(Effect.forEach(payloads, (payload) => isEcho(payload) ? receive(payload) : Effect.void))
          )
        )
      )
    })
    const loop = wanted.await.pipe(
      Effect.zipRight(wanted.close),
      Effect.zipRight(sendPending),
      Effect.zipRight(Effect.suspend(() => pending.size === 0 ? idle.open : Effect.void)),
      Effect.forever
    )
    // Interruptible, because an acquire is not, and a fiber inherits the region that forks it.
    yield* Effect.acquireRelease(
      Effect.forkDaemon(Effect.interruptible(loop)),
      (fiber) => Effect.zipRight(bounded({ within: lastWithin })(idle.await), Fiber.interrupt(fiber))
    )

    const notify = (payloads: ReadonlyArray<string>) =>
      Effect.suspend(() => {
        if (payloads.length === 0) return Effect.void
        for (const payload of payloads) pending.add(payload)
        return idle.close.pipe(
          Effect.zipRight(wanted.open),
          Effect.zipRight(Effect.forEach(payloads, receive, { discard: true }))
        )
      })
    const notifyWithin = (queue: string, payloads: ReadonlyArray<string>) =>
      payloads.length === 0
        ? Effect.void
        : Effect.mapError(executeOwn(sql, statement, [channel, payloads]), failureOf(queue)("notify"))
    /** A transaction that runs nothing after its commit. */
    const isForeign = (fiber: RunningFiber) =>
      serviceOf(fiber, TransactionTag) !== undefined && serviceOf(fiber, Committing) === undefined

    return {
      notifying: <A, E, R>(
        queue: string,
        statement: (afterCommit: boolean) => Effect.Effect<A, E, R>,
        payloads: (result: A | undefined) => ReadonlyArray<string>
      ) =>
        Effect.withFiberRuntime<A, E | JobSourceError, R>((fiber) =>
          isForeign(fiber)
            ? Effect.tap(statement(false), (rows) => notifyWithin(queue, payloads(rows)))
            : Effect.onExit(statement(true), (exit) =>
              Exit.isSuccess(exit) || Exit.isInterrupted(exit)
                ? afterCommit(notify(payloads(Exit.isSuccess(exit) ? exit.value : undefined)))
                : Effect.void)
        ),
      isEcho
    }
  })
