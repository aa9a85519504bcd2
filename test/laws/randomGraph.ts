import { FastCheck, Option } from "effect"

const ends = ["Quick", "Slow", "Hung", "Stubborn", "Dies"] as const

/** The behaviour of a unit of work, of a step of a release, or of a finalizer. */
export interface Behaviour {
  readonly kind: (typeof ends)[number]
  readonly seconds: number
}

const starts = ["Ready", "Late", "Hung", "Deaf", "Fails", "FailsLate"] as const

/**
 * How a resource is acquired: at once, late, never (and interruptibly or not), or not at all because it fails. What is late ignores
 * its interruption until then.
 */
export interface Start {
  readonly kind: (typeof starts)[number]
  readonly seconds: number
}

/** A finalizer in no `Drain`, which runs before the release of its node or after it. */
export interface Loose {
  readonly runs: "Before" | "After"
  readonly finalizer: Behaviour
}

/** One resource: its dependencies (indices above its own), and its behaviour. */
export interface Node {
  readonly needs: ReadonlyArray<number>
  /** How its dependencies are provided: all at once, in a chain, or in the reverse chain. */
  readonly stacking: "Together" | "Chain" | "Reversed"
  readonly work: ReadonlyArray<Behaviour>
  /** The daemons that it leaves behind. Each forks the next one when it ends. */
  readonly daemons: ReadonlyArray<ReadonlyArray<Behaviour>>
  readonly acquire: Start
  readonly quiesce: Behaviour
  readonly release: Behaviour
  readonly loose: Option.Option<Loose>
  readonly drainTimeout: Option.Option<number>
}

export interface Graph {
  readonly nodes: ReadonlyArray<Node>
  readonly preStopDelay: number
  /** The time of the second signal, in seconds after the first. */
  readonly again: Option.Option<number>
  /** The finalizer of what is provided outside of `launch`. */
  readonly outer: Option.Option<Behaviour>
  /** How the system's time is set meanwhile: after so many seconds, by so many hours. */
  readonly clockSteps: ReadonlyArray<{ readonly after: number; readonly hours: number }>
}

const seconds = FastCheck.integer({ min: 0, max: 6 })

const behaviour: FastCheck.Arbitrary<Behaviour> = FastCheck.record({
  kind: FastCheck.oneof({ weight: 6, arbitrary: FastCheck.constant("Quick" as const) }, {
    weight: 4,
    arbitrary: FastCheck.constantFrom(...ends)
  }),
  seconds
})

const option = <A>(arbitrary: FastCheck.Arbitrary<A>): FastCheck.Arbitrary<Option.Option<A>> =>
  FastCheck.option(arbitrary, { nil: undefined }).map(Option.fromNullable)

export const ready: Start = { kind: "Ready", seconds: 0 }

const start: FastCheck.Arbitrary<Start> = FastCheck.oneof(
  { weight: 2, arbitrary: FastCheck.constant(ready) },
  { weight: 2, arbitrary: FastCheck.record({ kind: FastCheck.constant("Late" as const), seconds }) },
  {
    weight: 3,
    arbitrary: FastCheck.record({ kind: FastCheck.constantFrom(...starts), seconds })
  }
)

/** In one of three graphs some resource may not be acquired at once, or not at all. */
const startOf = FastCheck.constantFrom(FastCheck.constant(ready), FastCheck.constant(ready), start)

const loose: FastCheck.Arbitrary<Option.Option<Loose>> = option(FastCheck.record({
  runs: FastCheck.constantFrom<Loose["runs"]>("Before", "After"),
  finalizer: FastCheck.oneof(
    { weight: 3, arbitrary: behaviour },
    { weight: 1, arbitrary: FastCheck.record({ kind: FastCheck.constant("Dies" as const), seconds }) }
  )
}))

/** Half of the graphs have all their finalizers in a `Drain`. */
const looseOf = FastCheck.constantFrom(FastCheck.constant(Option.none<Loose>()), loose)

export const graph: FastCheck.Arbitrary<Graph> = FastCheck.tuple(
  FastCheck.integer({ min: 1, max: 7 }),
  startOf,
  looseOf
).chain(([size, acquire, loose]) =>
  FastCheck.record({
    nodes: FastCheck.tuple(...Array.from({ length: size }, (_, index) =>
      FastCheck.record({
        needs: FastCheck.subarray(Array.from({ length: size - index - 1 }, (_, offset) => index + 1 + offset)),
        stacking: FastCheck.constantFrom<Node["stacking"]>("Together", "Chain", "Reversed"),
        work: FastCheck.array(behaviour, { maxLength: 3 }),
        daemons: FastCheck.oneof(
          FastCheck.constant([]),
          FastCheck.array(FastCheck.array(behaviour, { minLength: 1, maxLength: 2 }), { maxLength: 2 })
        ),
        acquire,
        quiesce: behaviour,
        release: behaviour,
        loose,
        drainTimeout: option(FastCheck.integer({ min: 0, max: 12 }))
      }))),
    preStopDelay: FastCheck.constantFrom(0, 0, 3),
    again: option(FastCheck.integer({ min: 1, max: 20 })),
    outer: option(behaviour),
    clockSteps: FastCheck.array(
      FastCheck.record({ after: FastCheck.integer({ min: 0, max: 15 }), hours: FastCheck.constantFrom(-1, 1) }),
      { maxLength: 2 }
    )
  })
)
