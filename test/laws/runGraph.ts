import { Deferred, Duration, Effect, Exit, Fiber, Layer, Option, Queue } from "effect"
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
import type { Behaviour, Graph, Loose, Node, Start } from "./randomGraph.js"

/** From the start to the first signal, in milliseconds. */
const firstSignal = 200

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

/** The acquire of a resource, which is uninterruptible by itself. Runs `failing` when it fails. */
const acquireLike = ({ kind, seconds }: Start, failing: Effect.Effect<void>): Effect.Effect<void, string> => {
  const fail = Effect.zipRight(failing, Effect.fail("cannot be acquired"))
  switch (kind) {
    case "Ready":
      return Effect.void
    case "Late":
      return Effect.sleep(seconds * 3500)
    case "FailsLate":
      return Effect.zipRight(Effect.sleep(seconds * 3500), fail)
    case "Hung":
      return Effect.interruptible(Effect.never)
    case "Deaf":
      return Effect.never
    case "Fails":
      return Effect.zipRight(Effect.interruptible(Effect.sleep(seconds * 25)), fail)
  }
}

/** What a run of the graph has shown. */
export interface Observed {
  readonly report: ShutdownReport
  /** Instants, in milliseconds. */
  readonly requested: number
  readonly deadline: number
  readonly ended: number
  /** When the first acquire failed. */
  readonly failed: Option.Option<number>
  /** Which nodes were being acquired when the shutdown was requested. */
  readonly acquiring: ReadonlySet<string>
  /** Which nodes were acquired, and when. */
  readonly acquired: ReadonlyMap<string, number>
  /** Whether what is provided outside has begun, and ended, its release. */
  readonly outer: { readonly begun: boolean; readonly ended: boolean }
  /** Node `of` was released while its dependent `by` was not done; or what is outside of all, while a node was not. */
  readonly violations: ReadonlyArray<{ readonly of: string; readonly by: string }>
  /** The units of work in flight of each node when it was quiesced. */
  readonly accepted: ReadonlyMap<string, number>
  /** What became of the daemons of each node that ended, or still ran, after its drain began. */
  readonly daemons: ReadonlyMap<string, DaemonCounts>
  /** The finalizers in no `Drain`, by their node. */
  readonly loose: ReadonlyMap<string, "Added" | "Running" | "Ended" | "Failed">
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
export const run = ({ again, clockSteps, nodes, outer, preStopDelay }: Graph): Effect.Effect<Observed> =>
  Effect.gen(function*() {
    const working = nodes.map(() => 0)
    const violations: Array<{ of: string; by: string }> = []
    const accepted = new Map<string, number>()
    const daemons = new Map<string, DaemonCounts>()
    const loose = new Map<string, "Added" | "Running" | "Ended" | "Failed">()
    const acquiring = new Set<string>()
    const acquired = new Map<string, number>()
    const outside = { begun: false, ended: false }
    let failed = Option.none<number>()
    const name = (index: number) => `n${index}`

    /** Notes what is not done of those that depend on the resource, or use what is provided outside. */
    const noteViolations = (of: string, users: Iterable<number>) => {
      for (const user of users) {
        const by = name(user)
        if (working[user]! > 0) violations.push({ of, by })
        if ((daemons.get(`${by} daemons`)?.running ?? 0) > 0) violations.push({ of, by: `${by} daemons` })
        if (acquiring.has(by)) violations.push({ of, by: "start" })
        const finalizer = loose.get(by)
        if (finalizer === "Added" || finalizer === "Running") violations.push({ of, by: "scope" })
      }
    }

    const addLoose = (node: Node, index: number, runs: Loose["runs"]) =>
      Option.match(Option.filter(node.loose, (_) => _.runs === runs), {
        onNone: () => Effect.void,
        onSome: ({ finalizer }) => {
          loose.set(name(index), "Added")
          return Effect.addFinalizer(() => {
            loose.set(name(index), "Running")
            noteViolations(`${name(index)} loose`, dependents(nodes, index))
            return Effect.onExit(
              behave(finalizer),
              (exit) => Effect.sync(() => loose.set(name(index), Exit.isSuccess(exit) ? "Ended" : "Failed"))
            )
          })
        }
      })

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
        yield* addLoose(node, index, "After")
        yield* drained(node, index)
        yield* addLoose(node, index, "Before")
        yield* owner.own(Effect.forEach(node.daemons, (chain) => leaveBehind(counts, chain)))
      }))

    const drained = (node: Node, index: number) =>
      Drain.acquire({
        name: name(index),
        acquire: Effect.gen(function*() {
          acquiring.add(name(index))
          yield* acquireLike(
            node.acquire,
            Effect.map(monotonicMillis, (now) => {
              failed = Option.orElseSome(failed, () => now)
            })
          ).pipe(Effect.onExit(() => Effect.sync(() => acquiring.delete(name(index)))))
          acquired.set(name(index), yield* monotonicMillis)
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
          Effect.sync(() => noteViolations(name(index), dependents(nodes, index))).pipe(
            Effect.zipRight(behave(node.release))
          ),
        progress: ({ counts }) => {
          // The first call is made at quiesce: the work in flight then was accepted.
          if (!accepted.has(name(index))) accepted.set(name(index), counts.inFlight)
          return { ...counts }
        },
        drainTimeout: Option.getOrUndefined(Option.map(node.drainTimeout, (seconds) => seconds * 1000))
      })

    // From the bottom up: every node is one layer value, shared by its dependents.
    const layers: Array<Layer.Layer<never, BudgetError | string>> = []
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
    const outerLayer = Layer.scopedDiscard(Effect.addFinalizer(() => {
      outside.begun = true
      noteViolations("outer", nodes.keys())
      return Effect.map(Option.match(outer, { onNone: () => Effect.void, onSome: behave }), () => {
        outside.ended = true
      })
    }))
    yield* runService(Effect.succeed(lifecycle), Layer.mergeAll(layers[0]!, ...layers.slice(1))).pipe(
      Effect.provide(outerLayer),
      onHost,
      Effect.withClock(clock),
      Effect.forkDaemon
    )
    const request = yield* Effect.forkDaemon(Effect.zipWith(
      Effect.zipRight(lifecycle.requested, monotonicMillis),
      Effect.sync(() => new Set(acquiring)),
      (requested, acquiring) => ({ requested, acquiring })
    ))
    yield* Effect.sleep(firstSignal)
    yield* signal
    if (Option.isSome(again)) {
      yield* Effect.forkDaemon(Effect.raceFirst(Effect.delay(signal, again.value * 1000), Deferred.await(exited)))
    }
    const ended = yield* Deferred.await(exited)
    const report = Option.getOrThrow((yield* lifecycle.snapshot).report)
    const begun = yield* Fiber.join(request)
    const deadline = begun.requested + 25_000
    return { ...begun, report, deadline, ended, failed, acquired, outer: outside, violations, accepted, daemons, loose }
  })
