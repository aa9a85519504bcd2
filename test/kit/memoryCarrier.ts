import { Duration, Effect, Option } from "effect"
import { monotonicMillis } from "../../src/core/internal/monotonic.js"
import type { CarrierQueue, Delivery, Service } from "../../src/layers/jobs/JobCarrier.js"
import { JobSourceError } from "../../src/layers/jobs/JobSource.js"

type Operation = "offer" | "receive" | "ack" | "holds"

/** A carrier in memory, whose operations can be made to fail, and whose data can be lost. */
export interface MemoryCarrier extends Service {
  /** The operations that were called, in order. */
  readonly called: Array<Operation>
  /** The calls of `offer`, in order. */
  readonly offers: Array<{ readonly ids: ReadonlyArray<string>; readonly first: boolean }>
  /** From now on these operations fail, and no others. */
  readonly fail: (...operations: ReadonlyArray<Operation>) => Effect.Effect<void>
  readonly loseData: Effect.Effect<void>
  /** Adds a job as another program does. */
  readonly add: (queue: string, id: string, payload: unknown) => Effect.Effect<void>
  /** The ids that a queue holds, those that are delivered included. */
  readonly held: (queue: string) => ReadonlyArray<string>
}

interface Held {
  readonly id: string
  readonly priority: number
  readonly payload: Option.Option<unknown>
  /** The last delivery, and until when it may be acknowledged. */
  delivery: Delivery | undefined
  until: number
}

/** `redeliverAfter` is after what time a delivery that was not acknowledged is delivered again. */
export const makeMemoryCarrier = (redeliverAfter: Duration.DurationInput): MemoryCarrier => {
  const bound = Duration.toMillis(redeliverAfter)
  let failing: ReadonlyArray<Operation> = []
  const called: Array<Operation> = []
  const offers: MemoryCarrier["offers"] = []
  let store = new Map<string, Array<Held>>()
  const latches = new Map<string, Set<Effect.Latch>>()

  const heldBy = (queue: string) => {
    const held = store.get(queue) ?? []
    store.set(queue, held)
    return held
  }
  const wake = (queue: string) => Effect.forEach(latches.get(queue) ?? [], (latch) => latch.open, { discard: true })

  const add = (queue: string, jobs: ReadonlyArray<Pick<Held, "id" | "payload">>, first: boolean, priority = 0) =>
    Effect.suspend(() => {
      const held = heldBy(queue)
      const ids = new Set(held.map(({ id }) => id))
      const added = jobs.filter(({ id }) => !ids.has(id)).map((job): Held => ({
        ...job,
        priority: first ? 0 : priority,
        delivery: undefined,
        until: 0
      }))
      if (first) held.unshift(...added)
      else {
        const behind = held.findIndex((other) => other.priority > priority)
        held.splice(behind < 0 ? held.length : behind, 0, ...added)
      }
      return wake(queue)
    })

  const open = (name: string, latch: Effect.Latch): CarrierQueue => {
    const operation = <A>(operation: Operation, effect: Effect.Effect<A>) =>
      Effect.suspend(() => {
        called.push(operation)
        return failing.includes(operation)
          ? new JobSourceError({ operation, queue: name, cause: new Error("away") })
          : effect
      })
    return {
      offer: (ids, options = {}) =>
        operation(
          "offer",
          Effect.suspend(() => {
            const first = options.first === true
            offers.push({ ids, first })
            return add(name, ids.map((id) => ({ id, payload: Option.none() })), first, options.priority)
          })
        ),
      wait: Effect.interruptible(Effect.raceFirst(latch.await, Effect.sleep(bound))),
      receive: (limit) =>
        operation(
          "receive",
          Effect.gen(function*() {
            yield* latch.close
            const now = yield* monotonicMillis
            const available = heldBy(name).filter(({ until }) => until <= now)
            if (available.length > limit) yield* latch.open
            return available.slice(0, limit).map((held) => {
              held.until = now + bound
              return held.delivery = { id: held.id, payload: held.payload, attempt: 1 }
            })
          })
        ),
      ack: (deliveries) =>
        operation(
          "ack",
          Effect.sync(() => {
            const current = new Set(deliveries)
            const left = heldBy(name).filter(({ delivery }) => delivery === undefined || !current.has(delivery))
            store.set(name, left)
          })
        ),
      holds: (id) => operation("holds", Effect.sync(() => heldBy(name).some((held) => held.id === id)))
    }
  }

  return {
    priorities: true,
    called,
    offers,
    fail: (...operations) => Effect.sync(() => void (failing = operations)),
    loseData: Effect.sync(() => void (store = new Map())),
    add: (queue, id, payload) => add(queue, [{ id, payload: Option.some(payload) }], false),
    held: (queue) => heldBy(queue).map(({ id }) => id),
    open: ({ name }) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const latch = Effect.unsafeMakeLatch(true)
          const all = latches.get(name) ?? new Set()
          latches.set(name, all.add(latch))
          return { all, latch }
        }),
        ({ all, latch }) => Effect.sync(() => all.delete(latch))
      ).pipe(Effect.map(({ latch }) => open(name, latch)))
  }
}
