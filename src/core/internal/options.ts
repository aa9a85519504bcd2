import { Data, Duration, Option } from "effect"

/** An option has a value that makes no sense. A defect: the program is wrong, not its environment. */
class InvalidOption extends Data.TaggedError("InvalidOption")<{ readonly message: string }> {}

/** Which durations make sense. Without a limit: zero or longer, and finite. */
export interface DurationLimits {
  /** Whether zero is refused. */
  readonly positive?: boolean
  /** Whether an infinite duration is accepted. */
  readonly unlimited?: boolean
}

/** `Duration.decode` turns NaN and negative numbers into zero. */
const isNegativeOrNaN = (input: unknown): boolean =>
  Array.isArray(input)
    ? input.some(isNegativeOrNaN)
    : typeof input === "string"
    ? input.trimStart().startsWith("-")
    : (typeof input === "number" || typeof input === "bigint") && !(input >= 0)

/** The duration; none when it is outside the limits, or no duration at all. */
export const parseDuration = (input: unknown, limits: DurationLimits = {}): Option.Option<Duration.Duration> =>
  isNegativeOrNaN(input) ? Option.none() : Option.filter(
    Duration.decodeUnknown(input),
    (duration) =>
      (limits.unlimited === true || Duration.isFinite(duration)) &&
      (limits.positive !== true || Duration.greaterThan(duration, Duration.zero))
  )

/** What `parseDuration` accepts, in words. */
export const expectedDuration = ({ positive = false, unlimited = false }: DurationLimits = {}): string =>
  `a ${unlimited ? "" : "finite "}duration ${positive ? "above zero" : "of zero or more"}`

const refuse = (owner: string, option: string, value: unknown, expected: string): never => {
  throw new InvalidOption({ message: `${owner}: ${option} is ${String(value)}, and must be ${expected}` })
}

/** The duration that the option of `owner` has. Throws `InvalidOption`: call it while an effect runs. */
export const durationOption = (
  owner: string,
  option: string,
  input: Duration.DurationInput,
  limits: DurationLimits = {}
): Duration.Duration =>
  Option.getOrElse(parseDuration(input, limits), () => refuse(owner, option, input, expectedDuration(limits)))

/** The count that the option of `owner` has: an integer, at most `most`, or infinite if `unlimited`. Throws as `durationOption` does. */
export const countOption = (
  owner: string,
  option: string,
  value: number,
  { least, most, unlimited = false }: {
    readonly least: number
    readonly most?: number
    readonly unlimited?: boolean
  }
): number => {
  if (value >= least && value <= (most ?? Infinity) && (Number.isInteger(value) || (unlimited && value === Infinity))) {
    return value
  }
  const range = most === undefined
    ? `of at least ${least}${unlimited ? ", or infinite" : ""}`
    : `from ${least} to ${most}`
  return refuse(owner, option, value, `an integer ${range}`)
}
