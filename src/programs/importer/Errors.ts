/**
 * What the API answers when it cannot do what it was asked. Each has a `_tag` that clients may rely on, and a message
 * for people, which they may not.
 */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

const message = Schema.String

export class ImportNotFound extends Schema.TaggedError<ImportNotFound>()(
  "ImportNotFound",
  { message },
  HttpApiSchema.annotations({ status: 404 })
) {}

export class DeadLetterNotFound extends Schema.TaggedError<DeadLetterNotFound>()(
  "DeadLetterNotFound",
  { message },
  HttpApiSchema.annotations({ status: 404 })
) {}

/** The body is neither CSV nor NDJSON in UTF-8, by its own account. */
export class UnsupportedContentType extends Schema.TaggedError<UnsupportedContentType>()(
  "UnsupportedContentType",
  { message },
  HttpApiSchema.annotations({ status: 415 })
) {}

export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()(
  "BodyTooLarge",
  { message, limit: Schema.Int },
  HttpApiSchema.annotations({ status: 413 })
) {}

/** The file is empty, or has no header, or its header lacks a column that was asked for. */
export class InvalidFile
  extends Schema.TaggedError<InvalidFile>()("InvalidFile", { message }, HttpApiSchema.annotations({ status: 422 }))
{}

export class InvalidColumns extends Schema.TaggedError<InvalidColumns>()(
  "InvalidColumns",
  { message },
  HttpApiSchema.annotations({ status: 422 })
) {}

/** Somebody is uploading under this Idempotency-Key right now. */
export class UploadInProgress extends Schema.TaggedError<UploadInProgress>()(
  "UploadInProgress",
  { message },
  HttpApiSchema.annotations({ status: 409 })
) {}

/** Another file was uploaded under this Idempotency-Key. */
export class IdempotencyKeyReused extends Schema.TaggedError<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  { message },
  HttpApiSchema.annotations({ status: 422 })
) {}

/** The import was cancelled while it was uploading. */
export class UploadCancelled extends Schema.TaggedError<UploadCancelled>()(
  "UploadCancelled",
  { message },
  HttpApiSchema.annotations({ status: 409 })
) {}

/** The body did not come to its end. Nobody is there to read this. */
export class UploadAborted
  extends Schema.TaggedError<UploadAborted>()("UploadAborted", { message }, HttpApiSchema.annotations({ status: 400 }))
{}

/** The database is away, or too slow. Nothing is lost; ask again after what `Retry-After` says. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()(
  "DatabaseUnavailable",
  { message },
  HttpApiSchema.annotations({ status: 503 })
) {}
