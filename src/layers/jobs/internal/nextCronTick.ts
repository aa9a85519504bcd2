import { Cron, DateTime, Option } from "effect"

const minute = 60_000
const day = 24 * 60 * minute

type Offset = (millis: number) => number

const offsetOf = (zone: DateTime.TimeZone): Offset => (millis) =>
  DateTime.zonedOffset(DateTime.unsafeMakeZoned(millis, { timeZone: zone }))

/** The minute within a day's distance after `from`, up to `until`, at which the offset has changed. */
const changeBetween = (offset: Offset, from: number, until: number): number | undefined => {
  const before = offset(from)
  let unchanged = from
  for (let to = from; to < until;) {
    to = Math.min(to + day, until)
    if (offset(to) === before) {
      unchanged = to
      continue
    }
    let low = Math.floor(unchanged / minute)
    let high = Math.ceil(to / minute)
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (offset(middle * minute) === before) low = middle
      else high = middle
    }
    return high * minute
  }
  return undefined
}

/** The first tick of a schedule that runs every hour: between two changes of the offset it is one of a fixed offset. */
const nextOfEveryHour = (cron: Cron.Cron, offset: Offset, from: number): number => {
  const current = offset(from)
  const next = Cron.next(Cron.make({ ...cron, tz: DateTime.zoneMakeOffset(current) }), from).getTime()
  const change = changeBetween(offset, from, next)
  if (change === undefined) return next
  const changed = Cron.make({ ...cron, tz: DateTime.zoneMakeOffset(offset(change)) })
  return Cron.match(changed, change) ? change : nextOfEveryHour(cron, offset, change)
}

/**
 * The first tick of the schedule after `from`, in milliseconds since the epoch. Throws when there is none, as for 30 February.
 *
 * `Cron.next` skips the hour that a clock repeats when it is set back, and returns a tick of the past when it begins in that
 * hour (`docs/upstream/cron-repeated-hour.mjs`). To skip is right for a schedule with hours of the day, which would run
 * twice; one that runs every hour runs in that hour, too.
 */
export const nextCronTick = (cron: Cron.Cron, from: number): number => {
  if (cron.hours.size === 0) {
    const zone = Option.getOrElse(cron.tz, () => DateTime.zoneMakeLocal())
    return nextOfEveryHour(cron, offsetOf(zone), from)
  }
  let next = from
  for (let start = from; next <= from; start += 15 * minute) next = Cron.next(cron, start).getTime()
  return next
}
