import { Cause, Effect, Either, Option, Predicate } from "effect"
import type { DeadLetter, DeadLetters } from "../JobSource.js"
import { type Codec, storableCodec } from "./codec.js"

/** How a pool keeps what its jobs failed with, beside the text of the error. */
export interface Failures<out Failure> {
  /** What a process failed with, encoded. None for a defect, and, with a warning, for an error that does not encode. */
  readonly encode: (cause: Cause.Cause<unknown>) => Effect.Effect<Option.Option<unknown>>
  /** What is stored; none when it does not decode. */
  readonly decode: (stored: Option.Option<unknown>) => Effect.Effect<Option.Option<Failure>>
}

/** The error that a failure within a span was made of: the failure itself is a proxy. */
export const originalError = (error: unknown): unknown => Predicate.isObject(error) ? Cause.originalError(error) : error

const none = () => Effect.succeedNone

/** Keeps nothing without a codec. */
export const makeFailures = <Failure>(codec: Codec<Failure> | undefined): Failures<Failure> => {
  if (codec === undefined) return { encode: none, decode: none }
  const { decode, encode } = storableCodec(codec, "the failure")
  const encodeError = (error: unknown) =>
    Effect.catchAllCause(Effect.asSome(encode(error as Failure)), (cause) =>
      Effect.as(
        Effect.logWarning("the error of the job is kept as text alone: the schema `failure` does not encode it", cause),
        Option.none()
      ))
  return {
    encode: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: none,
        onSome: (error) => encodeError(originalError(error))
      }),
    decode: Option.match({
      onNone: none,
      onSome: (stored) =>
        Either.match(decode(stored), {
          onLeft: (error) =>
            Effect.as(Effect.logDebug(`the failure of a dead letter does not decode: ${error}`), Option.none()),
          onRight: Effect.succeedSome
        })
    })
  }
}

/** Of a pool that keeps no failures. */
export const noFailures: Failures<never> = makeFailures<never>(undefined)

/** Reads dead letters with their failures decoded. */
export const decodeFailures = <Failure>(
  { get, list }: DeadLetters,
  { decode }: Failures<Failure>
): Pick<DeadLetters<Failure>, "list" | "get"> => {
  const decodeLetter = (letter: DeadLetter): Effect.Effect<DeadLetter<Failure>> =>
    Effect.map(decode(letter.failure), (failure) => ({ ...letter, failure }))
  return {
    list: (limit, after) => Effect.flatMap(list(limit, after), Effect.forEach(decodeLetter)),
    get: (id) =>
      Effect.flatMap(
        get(id),
        Option.match({ onNone: () => Effect.succeedNone, onSome: (letter) => Effect.asSome(decodeLetter(letter)) })
      )
  }
}
