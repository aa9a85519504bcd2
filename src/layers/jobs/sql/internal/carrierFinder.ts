import { Effect, Exit, Fiber, Scope } from "effect"
import * as Drain from "../../../../core/Drain.js"
import type { BudgetError } from "../../../../core/ShutdownConfig.js"
import * as WakeUp from "../../internal/wakeUp.js"
import type * as JobCarrier from "../../JobCarrier.js"
import { sentinelQueue, watchCarrier } from "./carrierLoss.js"
import { carrierStatementsOf } from "./carrierStatements.js"
import { claimingFromCarrier } from "./claimingFromCarrier.js"
import { makeRelay, type OfferAgainWindow, type Relay } from "./relay.js"
import { runOn } from "./rows.js"
import type { Finder, Ledger } from "./source.js"

interface QueueRelay extends Relay {
  readonly name: string
  readonly wakeUp: WakeUp.WakeUp
  readonly fiber: Fiber.RuntimeFiber<never>
}

/** A carrier, and how it is supplied. */
export interface CarrierOptions extends Drain.Timeouts {
  readonly carrier: JobCarrier.Service
  readonly offerAgain: OfferAgainWindow
}

/** Finds jobs through a carrier, and keeps it supplied with their ids until the scope closes, and once more then. */
export const makeCarrierFinder = (
  options: CarrierOptions,
  { pollInterval, reserved, statements, table, turns }: Ledger
): Effect.Effect<Finder, BudgetError, Scope.Scope> =>
  Effect.gen(function*() {
    const { carrier, offerAgain } = options
    const carrierStatements = carrierStatementsOf(table)
    // The queues that the relays use: closed after the drain, in which they are still used.
    const carrierScope = yield* Scope.make()
    const openQueues = new Set<{ readonly name: string; readonly orphanDue: Effect.Effect<void> }>()
    let watch: Fiber.RuntimeFiber<never> | undefined
    const counts = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

    const relays = yield* Drain.acquire({
      name: "relay",
      drainTimeout: options.drainTimeout,
      releaseTimeout: options.releaseTimeout,
      acquire: Effect.sync(() => new Map<string, QueueRelay>()),
      // Saves the jobs the time until another process offers them: no row is lost when this fails.
      drain: (relays) =>
        Effect.forEach(relays.values(), ({ flush }) =>
          Effect.matchEffect(flush, {
            onSuccess: (offered) => Effect.sync(() => (counts.finished += offered)),
            onFailure: (error) => Effect.logInfo("relay: the remaining jobs are left to other processes", error)
          }), { discard: true }),
      release: (relays) =>
        Effect.zipRight(
          Effect.suspend(() =>
            Fiber.interruptAll([
              ...Array.from(relays.values(), ({ fiber }) => fiber),
              ...watch === undefined ? [] : [watch]
            ])
          ),
          Scope.close(carrierScope, Exit.void)
        ),
      progress: () => counts
    })

    /** One relay for each queue, on a connection that jobs never hold. */
    const startRelay = (name: string) =>
      Effect.gen(function*() {
        const wakeUp = yield* WakeUp.make(pollInterval)
        const relay = makeRelay({
          queue: name,
          sql: reserved,
          statements: carrierStatements,
          turns,
          carrier: yield* Scope.extend(carrier.open({ name }), carrierScope),
          wakeUp,
          offerAgain,
          onOrphan: Effect.suspend(() =>
            Effect.forEach(openQueues, (queue) => queue.name === name ? queue.orphanDue : Effect.void, {
              discard: true
            })
          )
        })
        const sentinel = yield* Scope.extend(carrier.open({ name: sentinelQueue(table) }), carrierScope)
        // Only this part: what a carrier forks in `open` would inherit the region.
        yield* Effect.uninterruptible(Effect.gen(function*() {
          // The queue may have been opened twice at once.
          if (relays.has(name)) return
          watch ??= yield* Effect.forkDaemon(Effect.interruptible(watchCarrier({
            sql: reserved,
            statements: carrierStatements,
            carrier: sentinel,
            latest: offerAgain.latest,
            every: pollInterval
          })))
          relays.set(name, { ...relay, name, wakeUp, fiber: yield* Effect.forkDaemon(Effect.interruptible(relay.run)) })
        }))
      })

    return {
      priorities: carrier.priorities,

      notify: (name) => WakeUp.notify(relays.values(), name),

      open: ({ lease, name }) =>
        Effect.gen(function*() {
          const claiming = claimingFromCarrier({
            queue: name,
            carrier: yield* carrier.open({ name }),
            run: runOn(reserved, name),
            statements,
            carrierStatements,
            lease
          })
          const entry = { name, orphanDue: claiming.orphanDue }
          yield* Effect.acquireRelease(
            Effect.sync(() => openQueues.add(entry)),
            () => Effect.sync(() => openQueues.delete(entry))
          )
          if (!relays.has(name)) yield* startRelay(name)
          return claiming
        })
    }
  })
