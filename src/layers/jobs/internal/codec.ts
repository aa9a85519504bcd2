import { Effect, Either, ParseResult, Schema } from "effect"
import { isStorableJson } from "./storable.js"

/** How payloads, cursors, results and failures are stored: unchanged without a schema. */
export interface Codec<A> {
  readonly encode: (value: A) => Effect.Effect<unknown, Error>
  readonly decode: (value: unknown) => Either.Either<A, string>
}

export const makeCodec = <A>(schema: (Schema.Schema.AnyNoContext & { readonly Type: A }) | undefined): Codec<A> => {
  if (schema === undefined) {
    return { encode: Effect.succeed, decode: (value) => Either.right(value as A) }
  }
  const typed = schema as Schema.Schema<A, unknown>
  return {
    encode: Schema.encode(typed),
    decode: (value) =>
      Either.mapLeft(Schema.decodeUnknownEither(typed)(value), ParseResult.TreeFormatter.formatErrorSync)
  }
}

/** A codec that fails for a value which an engine could not store: so it is the attempt that fails, not its end. */
export const storableCodec = <A>(codec: Codec<A>, what: string): Codec<A> => ({
  ...codec,
  encode: (value) =>
    Effect.filterOrFail(codec.encode(value), isStorableJson, () => new Error(`${what} is no JSON that can be stored`))
})
