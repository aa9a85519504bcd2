/**
 * The state machine of one service: the one place that knows whether it is draining.
 *
 * `launch` makes a lifecycle and moves it. Make one yourself to test a layer in a state of your choice, or to run layers
 * under a supervisor of your own.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Lifecycle, Shutdown } from "lastcall"
 *
 * const program = Effect.gen(function*() {
 *   const lifecycle = yield* Lifecycle.make({ gracePeriod: "10 seconds" })
 *   yield* lifecycle.transition("Running")
 *   yield* lifecycle.shutdown.begin({ reason: "test" })
 *   yield* lifecycle.transition("Draining")
 *   return yield* Effect.provideService(Shutdown.state, Shutdown.Shutdown, lifecycle.shutdown)
 * })
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Array, Clock, type ConfigError, Deferred, Duration, Effect, Option, PubSub, Queue, Stream } from "effect"
import { makeTurns } from "./internal/eventLoop.js"
import { makeFollowers } from "./internal/followers.js"
import { makeJournal } from "./internal/journal.js"
import { monotonicMillis, wholeMillis } from "./internal/monotonic.js"
import { safeObservers } from "./internal/observers.js"
import { makeRequestTimes } from "./internal/requestTimes.js"
import type { Resource, Service } from "./Shutdown.js"
import { type BudgetError, type Options, resolve, type Signal } from "./ShutdownConfig.js"
import { type LifecycleState, make as makeReport, type ShutdownReport } from "./ShutdownReport.js"

/**
 * The request that began a shutdown.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShutdownRequest {
  /** The instant of the request, in milliseconds; see `Event.at`. */
  readonly at: number
  /** The state in which it came. */
  readonly from: LifecycleState
  /** The name of a signal, or the reason that was given to `Shutdown.begin`. */
  readonly reason: string
  /** What failed, when a failure is the cause, or was found later. */
  readonly failure: Option.Option<string>
  /** The error behind the failure, if there is one. */
  readonly cause: Option.Option<unknown>
}

/**
 * One entry of the journal: a change of the app's state, of a resource's stage, or a signal.
 *
 * @since 0.1.0
 * @category models
 */
export interface Event {
  /**
   * The instant, in milliseconds: the wall time at which the lifecycle was made, and the time that has passed since. A
   * change of the system's time does not move it.
   */
  readonly at: number
  /** Says which: a resource may have any name. */
  readonly _tag: "App" | "Signal" | "Resource"
  /** `"app"`, the name of the signal, or the name of the resource. */
  readonly subject: string
  /** The new state or stage, the outcome of a release, or how a signal was handled. */
  readonly what: string
}

/**
 * One change of a lifecycle, as `follow` shows it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  /** The state of the service after it. */
  readonly state: LifecycleState
  /** The entry of the journal; none for a resource that is registered, or closed without one. */
  readonly event: Option.Option<Event>
  /** The resource that has changed, after it. */
  readonly resource: Option.Option<Resource>
}

/**
 * Everything that the lifecycle knows at one moment.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  /** The state of the service. */
  readonly state: LifecycleState
  /** None until a shutdown is requested. */
  readonly request: Option.Option<ShutdownRequest>
  /** Whether a second signal expedited the shutdown. */
  readonly expedited: boolean
  /** Each signal that was received, duplicates included. */
  readonly signals: ReadonlyArray<string>
  /** The registered resources, in the order in which they were acquired. */
  readonly resources: ReadonlyArray<Resource>
  /** The journal. */
  readonly events: ReadonlyArray<Event>
  /** The report of the shutdown; none until `Stopped`. */
  readonly report: Option.Option<ShutdownReport>
}

/**
 * A lifecycle: `shutdown` is what resources see of it; the other members move it and read it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lifecycle {
  /** Provide it as the `Shutdown` service of the layers that belong to this lifecycle. */
  readonly shutdown: Service
  /** Copies what is known now: takes longer with more resources and events. */
  readonly snapshot: Effect.Effect<Snapshot>
  /**
   * Calls `step` with each entry of the journal, each registered resource and the current state, then with each later
   * change, until it returns true.
   */
  readonly follow: (step: (change: Change) => Effect.Effect<boolean>) => Effect.Effect<void>
  /** Completes when a shutdown is requested. */
  readonly requested: Effect.Effect<ShutdownRequest>
  /**
   * Moves to a state. `Running` is ignored once a shutdown was requested. `LameDuck` and `Draining` complete the effects
   * of the same name in `shutdown`. `Stopped` makes the report, in which what is not closed is `Abandoned`.
   */
  readonly transition: (state: Exclude<LifecycleState, "Starting">) => Effect.Effect<void>
  /** Records a signal and how it was handled. It does not request a shutdown. */
  readonly recordSignal: (signal: Signal, what: string) => Effect.Effect<void>
  /** Makes drains stop waiting and interrupt. */
  readonly expedite: Effect.Effect<void>
  /** Runs the release of each resource whose scope does not close, last acquired first; also of those acquired meanwhile. */
  readonly finalize: Effect.Effect<void>
  /** Requests the shutdown with this failure, or adds it to the request. The exit code is 1. */
  readonly fail: (reason: string, failure: string, cause?: unknown) => Effect.Effect<void>
}

const failed = (failure?: string, cause?: unknown) => ({
  failure: Option.fromNullable(failure),
  cause: Option.fromNullable(cause)
})

/**
 * A lifecycle in the state `Starting`. Its options are resolved as those of `launch`, and refused for the same reasons.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Lifecycle, ConfigError.ConfigError | BudgetError> =>
  Effect.gen(function*() {
    const config = yield* resolve(options)
    const journal = makeJournal<Change>()
    const followers = makeFollowers<Change>()
    const signals = Array.empty<Signal>()
    let state: LifecycleState = "Starting"
    let request = Option.none<ShutdownRequest>()
    let isExpedited = false
    let report = Option.none<ShutdownReport>()
    const wallTimeAhead = yield* Effect.zipWith(Clock.currentTimeMillis, monotonicMillis, (wall, now) => wall - now)
    const now = Effect.map(monotonicMillis, (now) => now + wallTimeAhead)
    // Not a SubscriptionRef: the code of its stream would be loaded in the last moments of a process.
    const states = yield* PubSub.unbounded<LifecycleState>({ replay: 1 })
    yield* PubSub.publish(states, state)
    const requested = yield* Deferred.make<ShutdownRequest>()
    const lameDuck = yield* Effect.makeLatch(false)
    const draining = yield* Effect.makeLatch(false)
    const expedited = yield* Effect.makeLatch(false)
    const turns = makeTurns()

    const unrecorded = (resource: Change["resource"]): Change => ({ state, event: Option.none(), resource })
    const record = (at: number, event: Omit<Event, "at">, resource = Option.none<Resource>()) => {
      const change = { state, event: Option.some({ ...event, at }), resource }
      journal.add(change, Option.getOrUndefined(Option.map(resource, ({ name }) => name)))
      followers.publish(change)
    }
    const recordChange = (at: number, resource: Resource) => {
      const what = Option.match(resource.report, { onNone: () => resource.stage, onSome: ({ outcome }) => outcome })
      record(at, { _tag: "Resource", subject: resource.name, what }, Option.some(resource))
    }
    const recordNow = (event: Omit<Event, "at">, change: () => void) =>
      Effect.map(now, (at) => {
        change()
        record(at, event)
      })

    const snapshot = Effect.sync((): Snapshot => {
      const [entries, resources] = [journal.entries(), journal.resources()]
      const known = { state, request, expedited: isExpedited, signals: [...signals], resources, report }
      // Made where they are read: the loop would be blocked for each snapshot of thousands of entries.
      return {
        ...known,
        get events() {
          return Array.getSomes(entries.map(({ event }) => event))
        }
      }
    })

    const reportAt = (at: number) =>
      Option.map(request, ({ at: from, failure, ...request }) => {
        for (const resource of journal.abandon(from, at)) recordChange(at, resource)
        return makeReport({
          cause: request.reason,
          from: request.from,
          signals,
          expedited: isExpedited,
          gracePeriod: config.gracePeriod,
          preStopDelay: config.preStopDelay,
          elapsed: wholeMillis(at - from),
          drains: journal.reports(),
          ...(Option.isSome(failure) ? { failure: failure.value } : {})
        })
      })

    const transition: Lifecycle["transition"] = (next) =>
      Effect.flatMap(now, (at) => {
        if (next === "Running" && Option.isSome(request)) return Effect.void
        if (next === "Stopped") report = reportAt(at)
        state = next
        record(at, { _tag: "App", subject: "app", what: next })
        Queue.unsafeOffer(states, next)
        const latches = next === "LameDuck" ? [lameDuck] : next === "Draining" ? [lameDuck, draining] : []
        return Effect.forEach(latches, ({ open }) => open, { discard: true })
      }).pipe(Effect.uninterruptible)

    const begin: Service["begin"] = ({ cause, failure, reason }) =>
      Effect.flatMap(now, (at) => {
        if (Option.isNone(request)) {
          journal.forgetClosed()
          request = Option.some({ at, from: state, reason, ...failed(failure, cause) })
          record(at, { _tag: "App", subject: "app", what: `shutdown requested: ${reason}` })
        }
        return Deferred.succeed(requested, Option.getOrThrow(request))
      }).pipe(Effect.asVoid, Effect.uninterruptible)

    const register: Service["register"] = (resource) =>
      Effect.suspend(() => {
        if (Option.isNone(request)) journal.forgetClosed()
        const registered = journal.register(safeObservers(resource), state === "LameDuck")
        followers.publish(unrecorded(Option.some(registered)))
        return Effect.as(turns, registered)
      })

    const update: Service["update"] = (resource) =>
      Effect.flatMap(now, (at) => {
        if (journal.replace(resource, at, state === "LameDuck")) recordChange(at, resource)
        else followers.publish(unrecorded(Option.some(resource)))
        return turns
      })

    const shutdown: Service = {
      config,
      state: Effect.sync(() => state),
      states: Stream.takeUntil(Stream.fromPubSub(states), (state) => state === "Stopped"),
      ...makeRequestTimes(() => Option.map(request, ({ at }) => at), now, Duration.toMillis(config.gracePeriod)),
      unreleased: Effect.sync(journal.countUnclosed),
      lameDuck: lameDuck.await,
      draining: draining.await,
      expedited: expedited.await,
      conditions: Effect.sync(journal.conditions),
      resources: Effect.sync(journal.resources),
      begin,
      register,
      update
    }

    const known = () => [
      ...journal.entries(),
      ...journal.resources().map((resource) => unrecorded(Option.some(resource))),
      unrecorded(Option.none())
    ]

    const addFailure = (failure: string, cause: unknown) =>
      Effect.sync(() => {
        request = Option.map(request, (_) => Option.isSome(_.failure) ? _ : { ..._, ...failed(failure, cause) })
      })

    return {
      shutdown,
      snapshot,
      follow: (step) => followers.follow(known, step),
      requested: Deferred.await(requested),
      transition,
      recordSignal: (subject, what) => recordNow({ _tag: "Signal", subject, what }, () => void signals.push(subject)),
      expedite: Effect.zipRight(
        recordNow({ _tag: "App", subject: "app", what: "expedited" }, () => void (isExpedited = true)),
        expedited.open
      ),
      finalize: journal.finalize,
      fail: (reason, failure, cause) => Effect.zipRight(begin({ reason, failure, cause }), addFailure(failure, cause))
    }
  })
