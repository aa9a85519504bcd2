import { Duration, Option, Schema } from "effect"
import { isSameSchedule, TickSchedule, type TickTimes, tickTimes } from "./tickTimes.js"

/** The ticks from the first up to the last. */
const Ticks = Schema.Struct({ first: Schema.Int, last: Schema.Int })
type Ticks = typeof Ticks.Type

/** What is stored of a scheduled job between two looks at it. All times are milliseconds since the epoch. */
export const ScheduleState = Schema.Struct({
  /** The schedule that holds for all processes. */
  schedule: TickSchedule,
  /** The latest start of a process with this schedule that has looked. */
  startedAt: Schema.Int,
  /** The last look of a process with this schedule. */
  confirmedAt: Schema.Int,
  /** The ticks up to this time have been decided on. */
  seen: Schema.Int,
  /** The ticks that are to be run once the run before them has ended. */
  waiting: Schema.Array(Ticks),
  /** The tick whose run was offered last, and when. */
  last: Schema.NullOr(Schema.Struct({ tick: Schema.Int, offeredAt: Schema.Int }))
})
export type ScheduleState = typeof ScheduleState.Type

/** A process, as far as the schedule that holds depends on it. */
export const Program = Schema.Struct({ schedule: TickSchedule, startedAt: Schema.Int })
export type Program = typeof Program.Type

/** What the process that looks brings with it. */
export interface Own extends Program {
  readonly missed: "skip" | "once" | "all"
  readonly overlap: "skip" | "queue"
  readonly missedAfter: Duration.Duration
}

/** What a look decides. */
export interface Decision {
  readonly state: ScheduleState
  /** The tick that is to be run now. */
  readonly run: Option.Option<number>
  /** How many ticks, or groups of them, are run no more, and why. */
  readonly dropped: "Missed" | "Overlap" | undefined
  /** How many milliseconds there are until the next look. */
  readonly nextLook: number
}

/** The row is looked at at least so often: by then a clock that was set, and a schedule that was changed, are noticed. */
const longestPause = Duration.toMillis("30 seconds")

/** After this time without a look by a process of its schedule, the schedule has no process any more. */
const abandonedAfter = Duration.toMillis("5 minutes")

/** A clock that was set back by more was wrong before: its ticks are run again, as those of cron are. */
const restartAfter = Duration.toMillis("3 hours")

/** While a tick waits for a run to end: a tenth of the time that the run has taken, within these bounds. */
const shortestWait = 100
const longestWait = Duration.toMillis("5 seconds")

export const initialState = (own: Own, now: number): ScheduleState => ({
  schedule: own.schedule,
  startedAt: own.startedAt,
  confirmedAt: now,
  seen: now,
  waiting: [],
  last: null
})

/**
 * The schedule of the process that was started last holds. When that process has gone, and all others with its schedule, that of
 * the others does. What waits of another schedule is dropped.
 */
const agree = (state: ScheduleState, own: Program, now: number): ScheduleState => {
  if (isSameSchedule(state.schedule, own.schedule)) {
    return { ...state, confirmedAt: now, startedAt: Math.max(state.startedAt, own.startedAt) }
  }
  return own.startedAt > state.startedAt || now - state.confirmedAt > abandonedAfter
    ? { ...state, schedule: own.schedule, startedAt: own.startedAt, confirmedAt: now, waiting: [] }
    : state
}

/** Adds ticks that come after all others. */
const append = (waiting: ReadonlyArray<Ticks>, ticks: Ticks, times: TickTimes): ReadonlyArray<Ticks> => {
  const end = waiting.at(-1)
  return end !== undefined && times.next(end.last) === ticks.first
    ? [...waiting.slice(0, -1), { first: end.first, last: ticks.last }]
    : [...waiting, ticks]
}

/** Decides on the ticks that came since the last look. */
const decide = (
  { seen, waiting }: ScheduleState,
  { missed, missedAfter, overlap }: Own,
  { now, running, times }: { readonly now: number; readonly running: boolean; readonly times: TickTimes }
): Pick<ScheduleState, "waiting"> & Pick<Decision, "dropped"> => {
  const first = times.next(seen)
  if (first > now) return { waiting, dropped: undefined }
  const last = times.last(seen, now)
  const isLate = now - last > Duration.toMillis(missedAfter)
  const someMissed = first !== last || isLate
  if (someMissed && missed === "all") return { waiting: append(waiting, { first, last }, times), dropped: undefined }
  if (someMissed && missed === "once") {
    return { waiting: append(waiting, { first: last, last }, times), dropped: first === last ? undefined : "Missed" }
  }
  if (isLate) return { waiting, dropped: "Missed" }
  if (overlap === "skip" && (running || waiting.length > 0)) return { waiting, dropped: "Overlap" }
  return { waiting: append(waiting, { first: last, last }, times), dropped: someMissed ? "Missed" : undefined }
}

const takeFirst = (waiting: ReadonlyArray<Ticks>, times: TickTimes): ReadonlyArray<Ticks> => {
  const [head, ...rest] = waiting
  if (head === undefined) return []
  const first = times.next(head.first)
  return first > head.last ? rest : [{ first, last: head.last }, ...rest]
}

/**
 * Whether a process must announce itself, because it cannot rely on looking soon: the engine may always give the job to the others.
 * It does when its schedule is to hold, or holds and would be taken for abandoned.
 */
export const mustAnnounce = (state: ScheduleState, own: Program, now: number): boolean =>
  isSameSchedule(state.schedule, own.schedule)
    ? now - state.confirmedAt > abandonedAfter / 2
    : own.startedAt > state.startedAt

/**
 * One look: decides what is run now, and when to look again. `running`: the run that was offered last has not ended. `announced`: a
 * process that has announced itself.
 */
export const look = (
  stored: ScheduleState,
  own: Own,
  { announced, now, running }: {
    readonly now: number
    readonly running: boolean
    readonly announced: Option.Option<Program>
  }
): Decision => {
  const known = Option.match(announced, { onNone: () => stored, onSome: (program) => agree(stored, program, now) })
  const agreed = agree(known, own, now)
  const state = now < agreed.seen - restartAfter ? { ...agreed, seen: now, waiting: [] } : agreed
  const times = tickTimes(state.schedule)
  const { dropped, waiting } = decide(state, own, { now, running, times })
  const seen = Math.max(state.seen, now)
  const run = running ? Option.none() : Option.map(Option.fromNullable(waiting[0]), ({ first }) => first)
  const last = Option.match(run, { onNone: () => state.last, onSome: (tick) => ({ tick, offeredAt: now }) })
  const left = Option.isSome(run) ? takeFirst(waiting, times) : waiting
  const untilTick = Math.min(times.next(seen) - now, longestPause)
  const untilEnd = left.length === 0 || last === null
    ? longestPause
    : Math.min(Math.max((now - last.offeredAt) / 10, shortestWait), longestWait)
  return {
    state: { ...state, seen, waiting: left, last },
    run,
    dropped,
    nextLook: Math.ceil(Math.min(untilTick, untilEnd))
  }
}

/** When the schedule runs next. */
export const nextRunAt = ({ schedule, seen, waiting }: ScheduleState): number =>
  waiting[0]?.first ?? tickTimes(schedule).next(seen)
