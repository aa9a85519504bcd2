import { Effect, Either, ParseResult, Schema } from "effect"

/** How payloads and cursors are stored; the identity without a schema. */
export interface Codec<A> {
  readonly encode: (value: A) => Effect.Effect<unknown>
  readonly decode: (value: unknown) => Either.Either<A, string>
}

export const codec = <A>(schema: (Schema.Schema.AnyNoContext & { readonly Type: A }) | undefined): Codec<A> => {
  if (schema === undefined) {
    return { encode: Effect.succeed, decode: (value) => Either.right(value as A) }
  }
  const typed = schema as Schema.Schema<A, unknown>
  return {
    encode: (value) => Effect.orDie(Schema.encode(typed)(value)),
    decode: (value) =>
      Either.mapLeft(Schema.decodeUnknownEither(typed)(value), ParseResult.TreeFormatter.formatErrorSync)
  }
}
