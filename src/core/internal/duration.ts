import { Config, ConfigError, Duration, Either, Option } from "effect"

const units: Record<string, Duration.Unit> = {
  ms: "millis",
  s: "seconds",
  sec: "seconds",
  m: "minutes",
  min: "minutes",
  h: "hours"
}

const parse = (text: string): Option.Option<Duration.Duration> => {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim())
  if (match === null) return Option.none()
  const unit = units[match[2]!.toLowerCase()] ?? match[2]!.toLowerCase()
  return Duration.decodeUnknown(`${match[1]} ${unit}`)
}

/** A duration with a unit, as in Kubernetes (`25s`) or in Effect (`25 seconds`). */
export const durationConfig = (name: string): Config.Config<Duration.Duration> =>
  Config.string(name).pipe(Config.mapOrFail((text) =>
    Option.match(parse(text), {
      onNone: () =>
        Either.left(ConfigError.InvalidData(
          [],
          `Expected a duration with its unit, such as "25s" or "500 millis", but received "${text}"`
        )),
      onSome: Either.right
    })
  ))

/** A duration as text: `250ms`, `1.2s`, `2m 5s`. */
export const shortDuration = (duration: Duration.Duration): string => {
  const millis = Math.round(Duration.toMillis(duration))
  if (!Number.isFinite(millis)) return "unlimited"
  if (millis < 1000) return `${millis}ms`
  if (millis < 60_000) return `${(millis / 1000).toFixed(1).replace(/\.0$/, "")}s`
  const seconds = Math.round(millis / 1000)
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${Math.floor(seconds / 60)}m ${seconds % 60}s`
}
