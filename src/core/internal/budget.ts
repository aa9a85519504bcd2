import { Duration, Option } from "effect"
import { shortDuration } from "./duration.js"

/*
 * signal                                                            deadline
 * |-- preStopDelay --|------------- drains -------------|---- reserve ----|
 *                                                       |- inside -|outer-|
 * |---------------------------- gracePeriod ------------------------------|
 */

/** The part of a `ShutdownConfig` that divides the time between the first signal and the deadline. */
export interface Budget {
  readonly gracePeriod: Duration.Duration
  readonly preStopDelay: Duration.Duration
  readonly reserve: Duration.Duration
  readonly releaseTimeout: Duration.Duration
}

/** 25 seconds: Kubernetes, ECS and Heroku end a process 30 seconds after SIGTERM. */
export const defaultGracePeriod = Duration.seconds(25)

/** What drains leave to interrupts and releases: a tenth of the grace period, at most 2 seconds. */
export const reserveOf = (gracePeriod: Duration.Duration): Duration.Duration =>
  Duration.min(Duration.times(gracePeriod, 0.1), Duration.seconds(2))

/** The part of the reserve for what is provided outside of `launch`. */
const outerPart = 0.25

/**
 * What remains for the layer of `launch`: the last quarter of the reserve is for what is provided outside. It is kept for
 * every service, because only the end of the main fiber shows whether there is anything outside.
 */
export const remainingInside = (
  { reserve }: Pick<Budget, "reserve">,
  remaining: Duration.Duration
): Duration.Duration => Duration.subtract(remaining, Duration.times(reserve, outerPart))

/** The time that a budget has for drains. */
export const drainable = ({ gracePeriod, preStopDelay, reserve }: Budget): Duration.Duration =>
  Duration.subtract(Duration.subtract(gracePeriod, preStopDelay), reserve)

/** Why the budget has no time for drains; none when it has. */
export const checkBudget = (budget: Budget): Option.Option<string> =>
  Duration.isFinite(budget.gracePeriod) && Duration.greaterThan(drainable(budget), Duration.zero)
    ? Option.none()
    : Option.some(
      `gracePeriod ${shortDuration(budget.gracePeriod)} leaves no time to drain: preStopDelay ` +
        `${shortDuration(budget.preStopDelay)} + ${shortDuration(budget.reserve)} kept back for releases ` +
        `must be less than the grace period. Raise GRACE_PERIOD or lower PRE_STOP_DELAY.`
    )

/** Why the budget can never hold this timeout; none when it can. */
export const checkTimeout = (
  budget: Budget,
  name: string,
  field: "drainTimeout" | "releaseTimeout",
  timeout: Duration.Duration
): Option.Option<string> => {
  const available = drainable(budget)
  return Duration.lessThanOrEqualTo(timeout, available) ? Option.none() : Option.some(
    `${name}: ${field} ${shortDuration(timeout)} can never be reached: gracePeriod ` +
      `${shortDuration(budget.gracePeriod)} - preStopDelay ${shortDuration(budget.preStopDelay)} - ` +
      `${shortDuration(budget.reserve)} kept back for releases leaves ${shortDuration(available)}.`
  )
}

/** The length of a drawn budget, in characters. A part is longer than its share where its label needs it. */
const drawnLength = 60

/** The parts of the grace period, each about as long as its share of it. */
const draw = (budget: Budget): string => {
  const total = Duration.toMillis(budget.gracePeriod)
  const parts = [
    ["preStopDelay", budget.preStopDelay],
    ["drains", drainable(budget)],
    ["reserve", budget.reserve]
  ] as const
  const drawn = parts.filter(([, time]) => !Duration.isZero(time)).map(([name, time]) => {
    const label = ` ${name} ${shortDuration(time)} `
    const dashes = Math.max(2, Math.round(Duration.toMillis(time) / total * drawnLength) - label.length)
    return "-".repeat(Math.floor(dashes / 2)) + label + "-".repeat(Math.ceil(dashes / 2))
  })
  return `|${drawn.join("|")}|`
}

/**
 * A warning when these drain timeouts, one after the other, exceed the budget. Not an error: which releases run side by
 * side is unknown until they do.
 */
export const checkSequence = (
  budget: Budget,
  timeouts: ReadonlyArray<readonly [name: string, drainTimeout: Duration.Duration]>
): Option.Option<string> => {
  const sum = timeouts.reduce((total, [, timeout]) => Duration.sum(total, timeout), Duration.zero)
  const available = drainable(budget)
  return Duration.lessThanOrEqualTo(sum, available) ? Option.none() : Option.some(
    `the grace period of ${shortDuration(budget.gracePeriod)} is tight: ${
      draw(budget)
    } Drains that run one after the ` +
      `other could take ${timeouts.map(([name, timeout]) => `${name} ${shortDuration(timeout)}`).join(" + ")} = ` +
      `${shortDuration(sum)}; the last ones would be cut short`
  )
}

/**
 * The bound of a drain: its own timeout, at most what remains less the reserve. Without a timeout and without a deadline
 * (no `launch`), the default grace period.
 */
export const drainBound = (
  budget: Budget,
  remaining: Duration.Duration,
  timeout: Option.Option<Duration.Duration>
): Duration.Duration =>
  Duration.min(
    Option.getOrElse(timeout, () => Duration.isFinite(remaining) ? remaining : defaultGracePeriod),
    Duration.subtract(remaining, budget.reserve)
  )

/** What the release of each other resource is left at least, if there is as much: a busy machine's timers are late by that. */
const leastShare = 10

/**
 * The bound of a step in the reserve: at most half of what remains. What `others` need for a share each is kept back, so that
 * none of them comes too late, however many take all the time that they get.
 */
const reserveShare = (remaining: number, others: number): number => {
  const share = Math.max((remaining - others * leastShare) / 2, remaining / (2 * (others + 1)))
  return share > 1 ? Math.floor(share) : share
}

/**
 * The bound of a quiesce, an interrupt or a release: its own timeout or the default, at most what remains less the reserve;
 * in the reserve, at most a share of what remains inside, of which `others` that are still to be released get theirs. So
 * every later step still has some time, and so has what is provided outside: their sum never passes the deadline.
 */
export const releaseBound = (
  budget: Budget,
  remaining: Duration.Duration,
  others: number,
  timeout: Option.Option<Duration.Duration>
): Duration.Duration =>
  Duration.min(
    Option.getOrElse(timeout, () => budget.releaseTimeout),
    Duration.max(
      Duration.subtract(remaining, budget.reserve),
      Duration.millis(reserveShare(Duration.toMillis(remainingInside(budget, remaining)), others))
    )
  )
