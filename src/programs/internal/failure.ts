import { Cause, ConfigError, Option } from "effect"

/** `PORT: Expected an integer ...`, the way people write it. */
const lineOfConfig = (error: ConfigError.ConfigError): string =>
  error._op === "And" || error._op === "Or"
    ? `${lineOfConfig(error.left)}; ${lineOfConfig(error.right)}`
    : `${error.path.join(".")}: ${error.message}`

/** A cause in one line: what went wrong first, without a stack. */
export const lineOf = (cause: Cause.Cause<unknown>): string => {
  const error = Option.getOrElse(Cause.failureOption(cause), () => Cause.squash(cause))
  const text = ConfigError.isConfigError(error)
    ? lineOfConfig(error)
    : Cause.isInterruptedOnly(cause)
    ? "interrupted"
    : error instanceof Error
    ? error.message || error.name
    : Cause.prettyErrors(cause)[0]?.message ?? String(error)
  return text.replace(/\s*\n\s*/g, " ")
}

/** Whether the cause is a bug, whose stack somebody needs, and no condition that its message explains. */
export const isBug = (cause: Cause.Cause<unknown>): boolean =>
  Option.isNone(Cause.failureOption(cause)) &&
  Option.match(Cause.dieOption(cause), {
    onNone: () => false,
    onSome: (defect) => !(defect instanceof Error && "_tag" in defect)
  })
