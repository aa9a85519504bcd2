import { Cron, DateTime, Duration, Effect, Option, Schema } from "effect"
import { nextCronTick } from "./nextCronTick.js"

const Numbers = Schema.Array(Schema.Int)

/**
 * A schedule as data, so that any process can follow the one that is stored. Its ticks depend on nothing but this: no
 * process counts from its own start, or by the clock of its own zone.
 */
export const TickSchedule = Schema.Union(
  Schema.TaggedStruct("Cron", {
    seconds: Numbers,
    minutes: Numbers,
    hours: Numbers,
    days: Numbers,
    months: Numbers,
    weekdays: Numbers,
    /** An identifier such as `Europe/Berlin`, or an offset. */
    timeZone: Schema.TimeZone
  }),
  /** The multiples of so many milliseconds, counted from 1970. */
  Schema.TaggedStruct("Interval", { millis: Schema.Int.pipe(Schema.positive()) })
)
export type TickSchedule = typeof TickSchedule.Type

/** The times of a schedule, in milliseconds since the epoch. */
export interface TickTimes {
  /** The first tick after this time. */
  readonly next: (from: number) => number
  /** The last tick up to `until`, which has one after `from`. */
  readonly last: (from: number, until: number) => number
}

const sorted = (values: ReadonlySet<number>): Array<number> => Array.from(values).sort((a, b) => a - b)

export const tickSchedule = (schedule: Cron.Cron | Duration.Duration): TickSchedule =>
  Cron.isCron(schedule)
    ? {
      _tag: "Cron",
      seconds: sorted(schedule.seconds),
      minutes: sorted(schedule.minutes),
      hours: sorted(schedule.hours),
      days: sorted(schedule.days),
      months: sorted(schedule.months),
      weekdays: sorted(schedule.weekdays),
      timeZone: Option.getOrElse(schedule.tz, () => DateTime.zoneMakeLocal())
    }
    : { _tag: "Interval", millis: Math.round(Duration.toMillis(schedule)) }

const encode = Schema.encodeSync(TickSchedule)

export const isSameSchedule = (one: TickSchedule, other: TickSchedule): boolean =>
  JSON.stringify(encode(one)) === JSON.stringify(encode(other))

/** Halves the time in which the last tick is, so that a year of seconds takes no longer than an hour of minutes. */
const lastBy = (next: TickTimes["next"]): TickTimes["last"] => (from, until) => {
  let found = next(from)
  let end = until
  while (true) {
    const second = next(found)
    if (second > end) return found
    const middle = Math.floor((second + end) / 2)
    const after = next(middle)
    if (after <= end) {
      found = after
    } else {
      found = second
      end = middle
    }
  }
}

export const tickTimes = (schedule: TickSchedule): TickTimes => {
  if (schedule._tag === "Interval") {
    const { millis } = schedule
    return {
      next: (from) => (Math.floor(from / millis) + 1) * millis,
      last: (_from, until) => Math.floor(until / millis) * millis
    }
  }
  const cron = Cron.make({ ...schedule, tz: schedule.timeZone })
  const next = (from: number) => nextCronTick(cron, from)
  return { next, last: lastBy(next) }
}

/** The times of a schedule of this program. Dies when it has none, as for 30 February. */
export const ownTickTimes = (schedule: TickSchedule, now: number): Effect.Effect<TickTimes> =>
  Effect.sync(() => {
    const times = tickTimes(schedule)
    times.next(now)
    return times
  })
