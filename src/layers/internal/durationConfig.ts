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

/** A duration with its unit, as Kubernetes (`25s`) or as Effect (`25 seconds`) writes it. */
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
