import { Clock, Deferred, Duration, Effect, Option, PubSub, Queue, Stream } from "effect"
import type { Registration, Resource, Service, Stage } from "../Shutdown.js"
import type { ShutdownConfig } from "../ShutdownConfig.js"
import type { DrainReport, LifecycleState } from "../ShutdownReport.js"

/** One registered resource: where it is now, and what became of it. */
export interface Entry {
  readonly name: string
  readonly resource: Resource
  readonly stage: Stage
  readonly report: Option.Option<DrainReport>
}

/** What began a shutdown, and when. */
export interface Begun {
  readonly at: number
  readonly from: LifecycleState
  readonly reason: string
  readonly failure: Option.Option<string>
}

/** Something that happened, with the instant at which it did: one line of a journal. */
export interface Event {
  readonly at: number
  readonly subject: string
  readonly what: string
}

/** Everything there is to know of a service's life, in one value. */
export interface Snapshot {
  readonly state: LifecycleState
  readonly begun: Option.Option<Begun>
  readonly expedited: boolean
  readonly signals: ReadonlyArray<string>
  readonly entries: ReadonlyArray<Entry>
  readonly events: ReadonlyArray<Event>
}

/** The one state machine: `service` is what resources see of it, the rest is how `launch` moves it. */
export interface Lifecycle {
  readonly service: Service
  readonly snapshot: Effect.Effect<Snapshot>
  /** Calls `step` with what is now, and with each change from there on, until it returns true. */
  readonly follow: (step: (snapshot: Snapshot) => Effect.Effect<boolean>) => Effect.Effect<void>
  /** Completes when the shutdown has begun. */
  readonly begun: Effect.Effect<Begun>
  /** To `Running`, unless the shutdown has begun meanwhile: nobody goes back. */
  readonly run: Effect.Effect<void>
  readonly transition: (state: Exclude<LifecycleState, "Starting" | "Running">) => Effect.Effect<void>
  readonly signalled: (signal: string, what: string) => Effect.Effect<void>
  readonly expedite: Effect.Effect<void>
  /** Begins the shutdown with this failure, or adds it to the one that was begun: the exit code is 1. */
  readonly fail: (reason: string, failure: string) => Effect.Effect<void>
}

const uniqueName = (entries: ReadonlyArray<Entry>, name: string): string => {
  const taken = new Set(entries.map((entry) => entry.name))
  let unique = name
  for (let n = 2; taken.has(unique); n++) unique = `${name}-${n}`
  return unique
}

/**
 * What has ended before anybody was told to stop is no part of a shutdown. Were it kept, a service that makes a resource
 * for every request would remember all of them.
 */
const forgetPast = (current: Snapshot): Snapshot => {
  const past = new Set(current.entries.filter(({ stage }) => stage === "closed").map(({ name }) => name))
  if (past.size === 0 || Option.isSome(current.begun)) return current
  return {
    ...current,
    entries: current.entries.filter(({ name }) => !past.has(name)),
    events: current.events.filter(({ subject }) => !past.has(subject))
  }
}

export const makeLifecycle = (config: ShutdownConfig): Effect.Effect<Lifecycle> =>
  Effect.gen(function*() {
    let now: Snapshot = {
      state: "Starting",
      begun: Option.none(),
      expedited: false,
      signals: [],
      entries: [],
      events: []
    }
    // Not a SubscriptionRef: the machinery of its stream would run for the first time in the last moments of a process.
    const changes = yield* PubSub.unbounded<Snapshot>({ replay: 1 })
    yield* PubSub.publish(changes, now)
    const modify = <A>(f: (current: Snapshot) => readonly [A, Snapshot]): Effect.Effect<A> =>
      Effect.sync(() => {
        const [result, next] = f(now)
        now = next
        Queue.unsafeOffer(changes, next)
        return result
      })
    const snapshot = Effect.sync(() => now)
    const begun = yield* Deferred.make<Begun>()
    const lameDuck = yield* Effect.makeLatch(false)
    const draining = yield* Effect.makeLatch(false)
    const expedited = yield* Effect.makeLatch(false)

    const update = (subject: string, what: string, f: (current: Snapshot) => Snapshot) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) =>
        modify((current) => {
          const next = f(current)
          return [undefined, { ...next, events: [...next.events, { at, subject, what }] }]
        }))

    const updateEntry = (name: string, what: string, f: (entry: Entry) => Entry) =>
      update(name, what, (current) => ({
        ...current,
        entries: current.entries.map((entry) => entry.name === name ? f(entry) : entry)
      }))

    const transition: Lifecycle["transition"] = (state) =>
      update("app", state, (current) => ({ ...current, state })).pipe(
        Effect.zipRight(state === "LameDuck" || state === "Draining" ? lameDuck.open : Effect.void),
        Effect.zipRight(state === "Draining" ? draining.open : Effect.void),
        Effect.asVoid,
        Effect.uninterruptible
      )

    const begin: Service["begin"] = ({ failure, reason }) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) =>
        modify((current) => {
          if (Option.isSome(current.begun)) return [current.begun.value, current]
          const begun: Begun = { at, from: current.state, reason, failure: Option.fromNullable(failure) }
          const event: Event = { at, subject: "app", what: `told to stop: ${reason}` }
          const { events, ...rest } = forgetPast(current)
          return [begun, { ...rest, begun: Option.some(begun), events: [...events, event] }]
        })).pipe(
          Effect.flatMap((_) => Deferred.succeed(begun, _)),
          Effect.asVoid,
          Effect.uninterruptible
        )

    const register = (resource: Resource): Effect.Effect<Registration> =>
      Effect.gen(function*() {
        const name = yield* modify((before) => {
          const current = forgetPast(before)
          const name = uniqueName(current.entries, resource.name)
          const entry: Entry = { name, resource, stage: "open", report: Option.none() }
          return [name, { ...current, entries: [...current.entries, entry] }]
        })
        return {
          name,
          stage: (stage) => updateEntry(name, stage, (entry) => ({ ...entry, stage })),
          ended: (report) =>
            updateEntry(name, report.outcome, (entry) => ({ ...entry, stage: "closed", report: Option.some(report) }))
        }
      })

    const begunAt = Effect.map(snapshot, ({ begun }) => Option.map(begun, (_) => _.at))
    const deadline = Effect.map(begunAt, Option.map((at) => at + Duration.toMillis(config.gracePeriod)))
    const untilNow = (from: Option.Option<number>, f: (from: number, now: number) => Duration.Duration) =>
      Effect.map(Clock.currentTimeMillis, (now) => Option.map(from, (from) => f(from, now)))

    const service: Service = {
      config,
      state: Effect.map(snapshot, (_) => _.state),
      states: Stream.fromPubSub(changes).pipe(
        Stream.map((_) => _.state),
        Stream.changes,
        Stream.takeUntil((state) => state === "Stopped")
      ),
      deadline,
      remaining: Effect.flatMap(deadline, (_) => untilNow(_, (at, now) => Duration.millis(Math.max(0, at - now)))).pipe(
        Effect.map(Option.getOrElse(() => Duration.infinity))
      ),
      elapsed: Effect.flatMap(begunAt, (_) => untilNow(_, (at, now) => Duration.millis(now - at))).pipe(
        Effect.map(Option.getOrElse(() => Duration.zero))
      ),
      lameDuck: lameDuck.await,
      draining: draining.await,
      expedited: expedited.await,
      conditions: Effect.map(snapshot, ({ entries }) =>
        Object.fromEntries(entries.flatMap(({ name, resource }) => {
          const condition = Option.getOrUndefined(resource.condition)?.()
          return condition === undefined ? [] : [[name, condition]]
        }))),
      begin,
      register
    }

    return {
      service,
      snapshot,
      follow: (step) =>
        Effect.scoped(Effect.flatMap(PubSub.subscribe(changes), (queue) =>
          Effect.repeat(Effect.flatMap(Queue.take(queue), step), {
            until: (done) => done
          }))),
      begun: Deferred.await(begun),
      run: Effect.flatMap(Deferred.isDone(begun), (done) =>
        done ? Effect.void : update("app", "Running", (current) => ({ ...current, state: "Running" }))),
      transition,
      signalled: (signal, what) =>
        update(signal, what, (current) => ({ ...current, signals: [...current.signals, signal] })),
      expedite: Effect.zipRight(
        update("app", "expedited", (current) => ({ ...current, expedited: true })),
        expedited.open
      ),
      fail: (reason, failure) =>
        Effect.zipRight(
          begin({ reason, failure }),
          modify((current) => {
            const begun = Option.map(
              current.begun,
              (_) => ({
                ..._,
                failure: Option.orElseSome(_.failure, () =>
                  failure)
              })
            )
            return [undefined, { ...current, begun }]
          })
        )
    }
  })
