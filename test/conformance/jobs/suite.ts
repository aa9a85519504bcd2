import { it } from "@effect/vitest"
import { Duration, Effect, type Fiber, Option, type Scope } from "effect"
import type { Claim, JobQueue, Service } from "../../../src/layers/jobs/JobSource.js"

/** A new store for one test. */
interface World {
  /** Two sources over the store, as two processes have them. Memory has the same one twice. */
  readonly sources: readonly [Service, Service]
  /** A write that joins the engine's transactions, where it has them. */
  readonly write: (line: string) => Effect.Effect<void, unknown>
  readonly written: Effect.Effect<ReadonlyArray<string>, unknown>
  /** Runs an effect in a transaction of the application, where the engine joins such transactions. */
  readonly transaction?: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, unknown>
}

export interface Conditions {
  /** With the capacity of its queues: by default that of the engine. */
  readonly make: (options: { readonly capacity?: number }) => Effect.Effect<World, unknown, Scope.Scope>
  /** The lease in tests in which it expires: short in real time. */
  readonly lease: Duration.DurationInput
  /** `TestClock.adjust`, or `Effect.sleep` in real time. */
  readonly passTime: (duration: Duration.DurationInput) => Effect.Effect<void>
  /** Whether the tests run in real time, as engines with I/O need. */
  readonly live: boolean
  /** Whether a transaction that fails rolls its writes back. */
  readonly transactional: boolean
  /** Whether jobs that were handed back come before later ones. `true` by default. */
  readonly handsBackFirst?: boolean
  /** Whether the end of a job that was offered without an id is kept once it is awaited. `true` by default. */
  readonly keepsAwaited?: boolean
}

export const payloads = (claims: ReadonlyArray<Claim>) => claims.map((claim) => claim.payload)
export const ack = { _tag: "Ack" } as const

/** Two processes' views of one new queue. */
interface Fixture extends World {
  readonly mine: JobQueue
  readonly theirs: JobQueue
}

/** How the tests of the suite are declared, and what they wait for. */
export const makeSuite = (conditions: Conditions) => {
  const lease = Duration.decode(conditions.lease)
  const { handsBackFirst = true, passTime } = conditions
  let opened = 0

  /** Leases do not expire, however slow the machine is, unless the test is about expiry. */
  const test = (
    sentence: string,
    body: (fixture: Fixture) => Effect.Effect<unknown, unknown, Scope.Scope>,
    leases?: "expiring",
    worldOptions: { readonly capacity?: number } = {}
  ) =>
    (conditions.live ? it.scopedLive : it.scoped)(sentence, () =>
      Effect.gen(function*() {
        const world = yield* conditions.make(worldOptions)
        const options = {
          name: `conformance-${++opened}`,
          lease: leases === undefined ? Duration.minutes(10) : lease
        }
        const mine = yield* world.sources[0].open(options)
        const theirs = yield* world.sources[1].open(options)
        yield* body({ ...world, mine, theirs })
      }), 30_000)

  /** Repeats an effect while time passes, for up to twenty leases. */
  const eventually = <A, E>(effect: Effect.Effect<A, E>, found: (value: A) => boolean) =>
    Effect.zipLeft(effect, passTime(Duration.times(lease, 0.05))).pipe(
      Effect.repeat({ until: found, times: 400 }),
      Effect.filterOrDie(found, () => new Error("the expected value never came"))
    )
  const claimed = (queue: JobQueue, count = 1) => eventually(queue.claim(count), (claims) => claims.length > 0)
  const completes = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) => eventually(fiber.poll, Option.isSome)
  /** Lets a lease expire, and claims the job with the other consumer. */
  const lose = ({ mine, theirs }: Fixture) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [lost] = yield* mine.claim(1)
      yield* passTime(Duration.times(lease, 1.1))
      const [won] = yield* claimed(theirs)
      return { lost: lost!, won: won! }
    })

  /** The tokens of cancelled claims that one consumer hears of, from when its engine listens on. */
  const hearCancels = ({ mine, theirs }: Fixture) =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      yield* mine.onCancel((token) => Effect.sync(() => void heard.push(token)))
      const probe = Effect.gen(function*() {
        yield* theirs.cancel(yield* mine.offer(["probe"]).pipe(Effect.zipLeft(mine.claim(1))))
        return heard.length
      })
      yield* eventually(probe, (length) => length > 0)
      return heard
    })

  return { claimed, completes, conditions, eventually, handsBackFirst, hearCancels, lease, lose, passTime, test }
}

export type Suite = ReturnType<typeof makeSuite>
