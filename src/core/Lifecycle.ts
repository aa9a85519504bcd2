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
import { Clock, type ConfigError, Deferred, Duration, Effect, Option, PubSub, Queue, Stream } from "effect"
import { monotonicMillis, wholeMillis } from "./internal/monotonic.js"
import { safeObservers } from "./internal/observers.js"
import { uniqueName } from "./internal/uniqueName.js"
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
}

/**
 * One entry of the journal: a change of the app's state (`subject` is `"app"`), of a resource's stage, or a signal.
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
  /** `"app"`, the name of a resource, or the name of a signal. */
  readonly subject: string
  /** The new state or stage, the outcome of a release, or how a signal was handled. */
  readonly what: string
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
  /** Reads the current snapshot. */
  readonly snapshot: Effect.Effect<Snapshot>
  /** Calls `step` with the current snapshot and after each change, until it returns true. */
  readonly follow: (step: (snapshot: Snapshot) => Effect.Effect<boolean>) => Effect.Effect<void>
  /** Completes when a shutdown is requested. */
  readonly requested: Effect.Effect<ShutdownRequest>
  /**
   * Moves to a state. `Running` is ignored once a shutdown was requested. `LameDuck` and `Draining` complete the effects
   * of the same name in `shutdown`. `Stopped` makes the report.
   */
  readonly transition: (state: Exclude<LifecycleState, "Starting">) => Effect.Effect<void>
  /** Records a signal and how it was handled. It does not request a shutdown. */
  readonly recordSignal: (signal: Signal, what: string) => Effect.Effect<void>
  /** Makes drains stop waiting and interrupt. */
  readonly expedite: Effect.Effect<void>
  /** Requests the shutdown with this failure, or adds the failure to the request. The exit code is 1. */
  readonly fail: (reason: string, failure: string) => Effect.Effect<void>
}

/**
 * Drops the resources that were closed before a shutdown was requested: they are no part of its report, and a service
 * that acquires one for each request would keep all of them.
 */
const dropClosed = (current: Snapshot): Snapshot => {
  const closed = new Set(current.resources.filter(({ stage }) => stage === "closed").map(({ name }) => name))
  if (closed.size === 0 || Option.isSome(current.request)) return current
  return {
    ...current,
    resources: current.resources.filter(({ name }) => !closed.has(name)),
    events: current.events.filter(({ subject }) => !closed.has(subject))
  }
}

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
    let current: Snapshot = {
      state: "Starting",
      request: Option.none(),
      expedited: false,
      signals: [],
      resources: [],
      events: [],
      report: Option.none()
    }
    // Not a SubscriptionRef: the code of its stream would be loaded in the last moments of a process.
    const changes = yield* PubSub.unbounded<Snapshot>({ replay: 1 })
    yield* PubSub.publish(changes, current)
    const modify = <A>(f: (current: Snapshot) => readonly [A, Snapshot]): Effect.Effect<A> =>
      Effect.sync(() => {
        const [result, next] = f(current)
        current = next
        Queue.unsafeOffer(changes, next)
        return result
      })
    const snapshot = Effect.sync(() => current)
    const wallTimeAhead = yield* Effect.zipWith(Clock.currentTimeMillis, monotonicMillis, (wall, now) => wall - now)
    const now = Effect.map(monotonicMillis, (now) => now + wallTimeAhead)
    const requested = yield* Deferred.make<ShutdownRequest>()
    const lameDuck = yield* Effect.makeLatch(false)
    const draining = yield* Effect.makeLatch(false)
    const expedited = yield* Effect.makeLatch(false)

    /** Changes the snapshot, and adds an event to the journal. */
    const record = (subject: string, what: string, f: (current: Snapshot, at: number) => Snapshot) =>
      Effect.flatMap(now, (at) =>
        modify((current) => {
          const next = f(current, at)
          return [undefined, { ...next, events: [...next.events, { at, subject, what }] }]
        }))

    const reportOf = (current: Snapshot, at: number) =>
      Option.map(current.request, ({ at: from, failure, ...request }) =>
        makeReport({
          cause: request.reason,
          from: request.from,
          signals: current.signals,
          expedited: current.expedited,
          gracePeriod: config.gracePeriod,
          preStopDelay: config.preStopDelay,
          elapsed: wholeMillis(at - from),
          drains: current.resources.flatMap(({ report }) => Option.toArray(report)),
          ...(Option.isSome(failure) ? { failure: failure.value } : {})
        }))

    const transition: Lifecycle["transition"] = (state) =>
      Effect.suspend(() => {
        if (state === "Running" && Option.isSome(current.request)) return Effect.void
        return record("app", state, (current, at) => ({
          ...current,
          state,
          report: state === "Stopped" ? reportOf(current, at) : current.report
        })).pipe(
          Effect.zipRight(state === "LameDuck" || state === "Draining" ? lameDuck.open : Effect.void),
          Effect.zipRight(state === "Draining" ? draining.open : Effect.void),
          Effect.asVoid
        )
      }).pipe(Effect.uninterruptible)

    const begin: Service["begin"] = ({ failure, reason }) =>
      Effect.flatMap(now, (at) =>
        modify((current) => {
          if (Option.isSome(current.request)) return [current.request.value, current]
          const request = { at, from: current.state, reason, failure: Option.fromNullable(failure) }
          const event: Event = { at, subject: "app", what: `shutdown requested: ${reason}` }
          const { events, ...rest } = dropClosed(current)
          return [request, { ...rest, request: Option.some(request), events: [...events, event] }]
        })).pipe(
          Effect.flatMap((request) => Deferred.succeed(requested, request)),
          Effect.asVoid,
          Effect.uninterruptible
        )

    const register: Service["register"] = (resource) =>
      modify((before) => {
        const current = dropClosed(before)
        const registered = { ...safeObservers(resource), name: uniqueName(resource.name, current.resources) }
        return [registered, { ...current, resources: [...current.resources, registered] }]
      })

    const update: Service["update"] = (resource) =>
      record(
        resource.name,
        Option.match(resource.report, { onNone: () => resource.stage, onSome: ({ outcome }) => outcome }),
        (current) => ({
          ...current,
          resources: current.resources.map((other) => other.name === resource.name ? resource : other)
        })
      )

    const sinceRequest = Effect.zipWith(snapshot, now, ({ request }, now) => Option.map(request, ({ at }) => now - at))
    const gracePeriod = Duration.toMillis(config.gracePeriod)
    const deadline = Effect.zipWith(sinceRequest, Clock.currentTimeMillis, (since, wallTime) =>
      Option.map(since, (millis) =>
        wallTime + gracePeriod - millis))
    const left = (since: number) =>
      Duration.millis(Math.max(0, gracePeriod - since))
    const remaining = Effect.map(sinceRequest, Option.match({ onNone: () => Duration.infinity, onSome: left }))
    const elapsed = Effect.map(sinceRequest, (since) => Duration.millis(Option.getOrElse(since, () => 0)))

    const shutdown: Service = {
      config,
      state: Effect.map(snapshot, ({ state }) => state),
      states: Stream.fromPubSub(changes).pipe(
        Stream.map(({ state }) => state),
        Stream.changes,
        Stream.takeUntil((state) => state === "Stopped")
      ),
      deadline,
      remaining,
      elapsed,
      lameDuck: lameDuck.await,
      draining: draining.await,
      expedited: expedited.await,
      conditions: Effect.map(snapshot, ({ resources }) =>
        Object.fromEntries(resources.flatMap(({ condition, name }) => {
          const present = condition()
          return present === undefined ? [] : [[name, present]]
        }))),
      begin,
      register,
      update
    }

    return {
      shutdown,
      snapshot,
      follow: (step) =>
        Effect.scoped(Effect.flatMap(PubSub.subscribe(changes), (queue) =>
          Effect.repeat(Effect.flatMap(Queue.take(queue), step), {
            until: (done) =>
              done
          }))),
      requested: Deferred.await(requested),
      transition,
      recordSignal: (signal, what) =>
        record(signal, what, (current) => ({ ...current, signals: [...current.signals, signal] })),
      expedite: Effect.zipRight(record("app", "expedited", (_) => ({ ..._, expedited: true })), expedited.open),
      fail: (reason, failure) =>
        Effect.zipRight(
          begin({ reason, failure }),
          modify((current) => [undefined, {
            ...current,
            request: Option.map(current.request, (request) => ({
              ...request,
              failure: Option.orElseSome(request.failure, () =>
                failure)
            }))
          }])
        )
    }
  })
