import { Deferred, Duration, Effect, Exit, FastCheck, Fiber, Layer, Option, Queue } from "effect"
import * as Drain from "../../src/core/Drain.js"
import type { HostEvent } from "../../src/core/Host.js"
import { makeDaemons } from "../../src/core/internal/daemons.js"
import { monotonicMillis } from "../../src/core/internal/monotonic.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import type { BudgetError } from "../../src/core/ShutdownConfig.js"
import type { ShutdownReport } from "../../src/core/ShutdownReport.js"
import { onMemoryHost } from "../../src/programs/internal/memoryHost.js"
import { runService } from "../../src/programs/internal/runService.js"
import * as WallClock from "../kit/wallClock.js"

const ends = ["Quick", "Slow", "Hung", "Stubborn", "Dies"] as const

/** The behaviour of a unit of work, or of a step of a release. */
interface Behaviour {
  readonly kind: (typeof ends)[number]
  readonly seconds: number
}

/** One resource: its dependencies (indices above its own), and its behaviour. */
interface Node {
  readonly needs: ReadonlyArray<number>
  /** How its dependencies are provided: all at once, in a chain, or in the reverse chain. */
  readonly stacking: "Together" | "Chain" | "Reversed"
  readonly work: ReadonlyArray<Behaviour>
  /** The daemons that it leaves behind. Each forks the next one when it ends. */
  readonly daemons: ReadonlyArray<ReadonlyArray<Behaviour>>
  readonly quiesce: Behaviour
  readonly release: Behaviour
  readonly drainTimeout: Option.Option<number>
}

export interface Graph {
  readonly nodes: ReadonlyArray<Node>
  readonly preStopDelay: number
  /** The time of the second signal, in seconds after the first. */
  readonly again: Option.Option<number>
  /** How the system's time is set meanwhile: after so many seconds, by so many hours. */
  readonly clockSteps: ReadonlyArray<{ readonly after: number; readonly hours: number }>
}

const behaviour: FastCheck.Arbitrary<Behaviour> = FastCheck.record({
  kind: FastCheck.oneof({ weight: 6, arbitrary: FastCheck.constant("Quick" as const) }, {
    weight: 4,
    arbitrary: FastCheck.constantFrom(...ends)
  }),
  seconds: FastCheck.integer({ min: 0, max: 6 })
})

const option = <A>(arbitrary: FastCheck.Arbitrary<A>): FastCheck.Arbitrary<Option.Option<A>> =>
  FastCheck.option(arbitrary, { nil: undefined }).map(Option.fromNullable)

export const graph: FastCheck.Arbitrary<Graph> = FastCheck.integer({ min: 1, max: 7 }).chain((size) =>
  FastCheck.record({
    nodes: FastCheck.tuple(...Array.from({ length: size }, (_, index) =>
      FastCheck.record({
        needs: FastCheck.subarray(Array.from({ length: size - index - 1 }, (_, offset) => index + 1 + offset)),
        stacking: FastCheck.constantFrom<Node["stacking"]>("Together", "Chain", "Reversed"),
        work: FastCheck.array(behaviour, { maxLength: 3 }),
        daemons: FastCheck.oneof(
          { weight: 3, arbitrary: FastCheck.constant([]) },
          FastCheck.array(FastCheck.array(behaviour, { minLength: 1, maxLength: 2 }), { maxLength: 2 })
        ),
        quiesce: behaviour,
        release: behaviour,
        drainTimeout: option(FastCheck.integer({ min: 0, max: 12 }))
      }))),
    preStopDelay: FastCheck.constantFrom(0, 0, 3),
    again: option(FastCheck.integer({ min: 1, max: 20 })),
    clockSteps: FastCheck.array(
      FastCheck.record({ after: FastCheck.integer({ min: 0, max: 15 }), hours: FastCheck.constantFrom(-1, 1) }),
      { maxLength: 2 }
    )
  })
)

const behave = ({ kind, seconds }: Behaviour): Effect.Effect<void> => {
  switch (kind) {
    case "Quick":
      return Effect.sleep(seconds * 100)
    case "Slow":
      return Effect.sleep(seconds * 5000)
    case "Hung":
      return Effect.never
    case "Stubborn":
      return Effect.uninterruptible(Effect.never)
    case "Dies":
      return Effect.delay(Effect.die(new Error("died")), seconds * 100)
  }
}

/** What a run of the graph has shown. */
export interface Observed {
  readonly report: ShutdownReport
  readonly deadline: number
  readonly ended: number
  /** Node `of` was released while its dependent `by` still worked. */
  readonly violations: ReadonlyArray<{ readonly of: string; readonly by: string }>
  /** The units of work in flight of each node when it was quiesced. */
  readonly accepted: ReadonlyMap<string, number>
  /** What became of the daemons of each node that ended, or still ran, after its drain began. */
  readonly daemons: ReadonlyMap<string, DaemonCounts>
}

interface DaemonCounts {
  running: number
  finished: number
  interrupted: number
}

const dependents = (nodes: ReadonlyArray<Node>, index: number): ReadonlySet<number> => {
  const found = new Set<number>()
  for (let i = index - 1; i >= 0; i--) {
    if (nodes[i]!.needs.some((need) => need === index || found.has(need))) found.add(i)
  }
  return found
}

/** Runs the graph as a service, signals it, and observes. */
export const run = ({ again, clockSteps, nodes, preStopDelay }: Graph): Effect.Effect<Observed> =>
  Effect.gen(function*() {
    const working = nodes.map(() => 0)
    const violations: Array<{ of: string; by: string }> = []
    const accepted = new Map<string, number>()
    const daemons = new Map<string, DaemonCounts>()
    const name = (index: number) => `n${index}`

    /** Forks the first daemon, which forks the next one. */
    const leaveBehind = (counts: DaemonCounts, [first, ...next]: ReadonlyArray<Behaviour>): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (first === undefined) return Effect.void
        counts.running++
        return behave(first).pipe(
          Effect.interruptible,
          Effect.onExit((exit) =>
            Effect.sync(() => {
              counts.running--
              if (Exit.isInterrupted(exit)) counts.interrupted++
              else counts.finished++
            })
          ),
          Effect.zipRight(leaveBehind(counts, next)),
          Effect.forkDaemon,
          Effect.asVoid
        )
      })

    const own = (node: Node, index: number) =>
      Layer.scopedDiscard(Effect.gen(function*() {
        const counts = { running: 0, finished: 0, interrupted: 0 }
        daemons.set(`${name(index)} daemons`, counts)
        const owner = yield* makeDaemons({ name: name(index), daemonTimeout: Duration.seconds(5) })
        yield* drained(node, index)
        yield* owner.own(Effect.forEach(node.daemons, (chain) => leaveBehind(counts, chain)))
      }))

    const drained = (node: Node, index: number) =>
      Drain.acquire({
        name: name(index),
        acquire: Effect.gen(function*() {
          const counts = { inFlight: node.work.length, finished: 0, handedBack: 0, cut: 0 }
          working[index] = node.work.length
          const fibers = yield* Effect.forEach(node.work, (work) =>
            behave(work).pipe(
              Effect.interruptible,
              Effect.onExit((exit) =>
                Effect.sync(() => {
                  counts.inFlight--
                  if (exit._tag === "Success") counts.finished++
                  else counts.cut++
                })
              ),
              // Until here the work may use its dependencies.
              Effect.ensuring(Effect.sync(() => working[index]!--)),
              Effect.forkDaemon
            ))
          return { counts, fibers }
        }),
        quiesce: () => behave(node.quiesce),
        drain: ({ fibers }) => Fiber.awaitAll(fibers),
        interrupt: ({ fibers }) => Fiber.interruptAll(fibers),
        release: () =>
          Effect.sync(() => {
            for (const by of dependents(nodes, index)) {
              if (working[by]! > 0) violations.push({ of: name(index), by: name(by) })
              const left = `${name(by)} daemons`
              if ((daemons.get(left)?.running ?? 0) > 0) violations.push({ of: name(index), by: left })
            }
          }).pipe(Effect.zipRight(behave(node.release))),
        progress: ({ counts }) => {
          // The first call is made at quiesce: the work in flight then was accepted.
          if (!accepted.has(name(index))) accepted.set(name(index), counts.inFlight)
          return { ...counts }
        },
        drainTimeout: Option.getOrUndefined(Option.map(node.drainTimeout, (seconds) => seconds * 1000))
      })

    // From the bottom up: every node is one layer value, shared by its dependents.
    const layers: Array<Layer.Layer<never, BudgetError>> = []
    for (let index = nodes.length - 1; index >= 0; index--) {
      const node = nodes[index]!
      const needs = node.needs.map((need) => layers[need]!)
      layers[index] = node.stacking === "Together"
        ? needs.length === 0
          ? own(node, index)
          : own(node, index).pipe(Layer.provide(Layer.mergeAll(needs[0]!, ...needs.slice(1))))
        : (node.stacking === "Chain" ? needs : needs.toReversed()).reduce(
          (layer, need) => Layer.provide(layer, need),
          own(node, index)
        )
    }

    const inbox = yield* Queue.unbounded<HostEvent>()
    const exited = yield* Deferred.make<number>()
    const onHost = onMemoryHost({
      listen: () => Effect.succeed(inbox),
      exit: () => Effect.zipRight(Effect.intoDeferred(monotonicMillis, exited), Effect.never)
    })
    const lifecycle = yield* Effect.orDie(Lifecycle.make({ preStopDelay: preStopDelay * 1000 }))
    const signal = Queue.offer(inbox, { _tag: "Signal" as const, signal: "SIGTERM" as const })
    let hoursAhead = 0
    yield* Effect.forEach(
      clockSteps,
      ({ after, hours }) =>
        Effect.sync(() => {
          hoursAhead += hours
        }).pipe(Effect.delay(after * 1000), Effect.forkDaemon),
      { discard: true }
    )
    const clock = WallClock.ahead(yield* Effect.clock, () => hoursAhead * 3_600_000)
    yield* runService(Effect.succeed(lifecycle), Layer.mergeAll(layers[0]!, ...layers.slice(1))).pipe(
      onHost,
      Effect.withClock(clock),
      Effect.forkDaemon
    )
    yield* Effect.sleep(200)
    const begun = yield* monotonicMillis
    yield* signal
    if (Option.isSome(again)) {
      yield* Effect.forkDaemon(Effect.raceFirst(Effect.delay(signal, again.value * 1000), Deferred.await(exited)))
    }
    const ended = yield* Deferred.await(exited)
    const report = Option.getOrThrow((yield* lifecycle.snapshot).report)
    return { report, deadline: begun + 25_000, ended, violations, accepted, daemons }
  })
