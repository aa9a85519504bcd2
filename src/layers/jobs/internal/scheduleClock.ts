import { Clock, Context, Duration, Effect, Either, Option, Schedule, Schema } from "effect"
import type { JobContext } from "../JobContext.js"
import {
  type JobQueue,
  JobSourceError,
  type QueueFull,
  type Service as JobSourceService,
  type StoredJob
} from "../JobSource.js"
import { makeCodec } from "./codec.js"
import { makePool } from "./makePool.js"
import { makeOrphanTurn } from "./orphanTurn.js"
import { type Decision, initialState, look, mustAnnounce, type Own, Program, ScheduleState } from "./scheduleState.js"
import { singly } from "./workers.js"

/** The queue of the runs, as far as the clock uses it. */
interface Runs {
  /** Offers the run of a tick, in the transaction of the caller. A tick that was offered before is none. */
  readonly offer: (id: string, tick: number) => Effect.Effect<unknown, JobSourceError | QueueFull>
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
}

/** The id of the run of a tick. */
export const tickId = (name: string, tick: number): string => `${name}@${new Date(tick).toISOString()}`

/** So often a process looks whether the schedule is there, and whether it must announce itself. */
const careEvery = Duration.minutes(1)

/** So often an announcement is looked at, until there was a look at the schedule. */
const announcementPause = Duration.seconds(5)

/** After a state that this version cannot read: another process can, or an operator is needed. */
const unreadablePause = Duration.seconds(30)

/** The payload of the schedule: since when its ticks count. */
const decodeSchedule = Schema.decodeUnknownEither(Schema.Struct({ since: Schema.Int }))

/** A process announces itself with a job of its own, because a job that waits cannot be changed. */
const Announcement = Schema.Struct({ ...Program.fields, at: Schema.Int })

const decodeState = Schema.decodeUnknownEither(ScheduleState)
const encodeState = Schema.encodeSync(ScheduleState)
const decodeAnnouncement = Schema.decodeUnknownOption(Announcement)
const encodeAnnouncement = Schema.encodeSync(Announcement)
const anything = makeCodec<unknown>(undefined)

const logDropped = (name: string, { dropped, state }: Decision) => {
  if (dropped === "Missed") return Effect.logWarning(`${name}: ticks were missed, and are not made up for`)
  if (dropped === undefined) return Effect.void
  const running = state.last === null ? "" : ` (${tickId(name, state.last.tick)})`
  return Effect.logInfo(`${name}: a tick is skipped, because the run before it${running} has not ended`)
}

interface Settings {
  readonly name: string
  readonly own: Own
  readonly drainTimeout: Duration.DurationInput | undefined
  readonly releaseTimeout: Duration.DurationInput | undefined
}

/**
 * The source of the looks. A process that died in one is no reason to hold back others. Also over memory there is nothing to empty
 * in a drain: the schedule never ends.
 */
const clockSource = (source: JobSourceService, queue: JobQueue): JobSourceService => ({
  ...source,
  durable: true,
  orphanTurn: makeOrphanTurn(),
  open: () => Effect.succeed(queue)
})

/**
 * Offers the ticks of a schedule to the queue of its runs, together with all processes that do so.
 *
 * The schedule is one job that is never finished, in a queue of its own: its cursor says which ticks were decided on. Whichever
 * process claims it when it is due decides on the ticks since, and stores that in the transaction that offers the run. So a tick
 * is offered once whatever happens to processes, and no process is a leader.
 */
export const runClock = (source: JobSourceService, runs: Runs, settings: Settings) =>
  Effect.gen(function*() {
    const { drainTimeout, name, own, releaseTimeout } = settings
    const queueName = `${name}/schedule`
    const announcementId = `${name}/announcement`
    // The shortest that an engine takes: so long the schedule stands still when a process dies in a look.
    const lease = Duration.times(source.renewEvery, 2)
    const queue = yield* source.open({ name: queueName, lease })

    const lookAtSchedule = (payload: unknown, job: JobContext<unknown>) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const stored = Option.match(job.cursor, {
          onNone: () => Either.map(decodeSchedule(payload), ({ since }) => initialState(own, since)),
          onSome: decodeState
        })
        if (Either.isLeft(stored)) {
          yield* Effect.logError(`${name}: the stored state of the schedule cannot be read`, stored.left)
          return yield* job.snooze(unreadablePause)
        }
        const { last } = stored.right
        const found = last === null ? Option.none<StoredJob>() : yield* runs.find(tickId(name, last.tick))
        const announcement = yield* queue.find(announcementId)
        const decision = look(stored.right, own, {
          now,
          running: Option.exists(found, ({ state }) => state !== "Dead"),
          announced: Option.flatMap(announcement, ({ payload }) => decodeAnnouncement(payload))
        })
        yield* logDropped(name, decision)
        const cursor = encodeState(decision.state)
        if (Option.isSome(decision.run)) {
          const tick = decision.run.value
          yield* job.checkpoint(cursor, runs.offer(tickId(name, tick), tick))
        }
        yield* job.snooze(decision.nextLook, { cursor })
      })

    /** None before the first look, and while it cannot be read. */
    const state = Effect.map(queue.find(name), (found) =>
      Option.flatMap(
        Option.flatMap(found, ({ cursor }) => cursor),
        (cursor) => Either.getRight(decodeState(cursor))
      ))

    /** Keeps an announcement until there was a look. */
    const keepAnnouncement = (payload: unknown, job: JobContext<unknown>) =>
      Effect.flatMap(state, (state) => {
        const isNew = ({ at }: { readonly at: number }) => !Option.exists(state, ({ seen }) => seen >= at)
        return Option.exists(decodeAnnouncement(payload), isNew) ? job.snooze(announcementPause) : Effect.void
      })

    /** A schedule that was lost, with a server that lost its data or by hand, is offered again. */
    const care = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (Option.isNone(yield* queue.find(name))) yield* queue.offer([{ since: now }], { ids: [name] })
      if (!Option.exists(yield* state, (state) => mustAnnounce(state, own, now))) return
      const { schedule, startedAt } = own
      const announcement = encodeAnnouncement({ schedule, startedAt, at: now })
      yield* queue.offer([announcement], { ids: [announcementId], keepIdFor: 0 })
    })

    yield* Effect.catchTag(
      care,
      "QueueFull",
      (cause) => new JobSourceError({ operation: "offer", queue: queueName, cause })
    )
    const pool = yield* makePool(
      queueName,
      clockSource(source, queue),
      {
        concurrency: 1,
        drainTimeout,
        releaseTimeout,
        lease,
        quiesceOn: "LameDuck",
        retry: Schedule.spaced("1 second"),
        isPermanent: () => false,
        onEvent: undefined
      },
      singly({
        payload: anything,
        cursor: anything,
        process: (payload, job) => (job.id === name ? lookAtSchedule : keepAnnouncement)(payload, job),
        services: Context.empty()
      })
    )
    yield* Effect.catchAll(care, (error) => Effect.logDebug(`${name}: the schedule cannot be looked for`, error)).pipe(
      Effect.delay(careEvery),
      Effect.forever,
      // A fiber inherits the region that forks it.
      Effect.interruptible,
      Effect.forkScoped
    )
    return { state, pause: pool.pause("Queue"), resume: pool.resume("Queue"), paused: queue.paused.get }
  })
