import { Cause, ConfigError, Option, Redacted } from "effect"

const configErrorMessage = (error: ConfigError.ConfigError): string =>
  error._op === "And" || error._op === "Or"
    ? `${configErrorMessage(error.left)}; ${configErrorMessage(error.right)}`
    : `${error.path.join(".")}: ${error.message === redacted ? secretMessage(error._op) : error.message}`

/** All that `Config.redacted` says of its errors. */
const redacted = String(Redacted.make(""))

const secretMessage = (op: ConfigError.ConfigError["_op"]): string =>
  op === "MissingData" ? "is not set" : "is not valid; its value is a secret"

/** The message of any thrown value; the name of an error without a message. */
export const errorMessage = (error: unknown): string =>
  ConfigError.isConfigError(error)
    ? configErrorMessage(error)
    : error instanceof Error
    ? error.message || error.name
    : Cause.prettyErrors(Cause.fail(error))[0]?.message ?? String(error)

/** The first error of a cause, in one line and without its stack. */
export const causeMessage = (cause: Cause.Cause<unknown>): string =>
  Cause.isInterruptedOnly(cause)
    ? "interrupted"
    : errorMessage(Option.getOrElse(Cause.failureOption(cause), () => Cause.squash(cause))).replace(/\s*\n\s*/g, " ")

/**
 * The first error of a cause with the name of its class, such as `TypeError: x is undefined`. For texts that are read
 * without the stack, such as the error of a dead letter.
 */
export const namedCauseMessage = (cause: Cause.Cause<unknown>): string =>
  String(Cause.prettyErrors(cause)[0] ?? "interrupted")

/** Whether the cause is a defect without a typed error, so that its stack must be logged. */
export const isUnexplained = (cause: Cause.Cause<unknown>): boolean =>
  Option.isNone(Cause.failureOption(cause)) &&
  Option.match(Cause.dieOption(cause), {
    onNone: () => false,
    onSome: (defect) => !(defect instanceof Error && "_tag" in defect)
  })
