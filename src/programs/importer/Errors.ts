/**
 * The errors of the API. Clients may rely on the `_tag` of each; its message is for people and may change.
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

/** By its headers, the body is neither CSV nor NDJSON in UTF-8. */
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

/** The file is empty, has no header, or its header lacks a column whose type was declared. */
export class InvalidFile
  extends Schema.TaggedError<InvalidFile>()("InvalidFile", { message }, HttpApiSchema.annotations({ status: 422 }))
{}

export class InvalidColumns extends Schema.TaggedError<InvalidColumns>()(
  "InvalidColumns",
  { message },
  HttpApiSchema.annotations({ status: 422 })
) {}

/** Another upload with this Idempotency-Key is in progress. */
export class UploadInProgress extends Schema.TaggedError<UploadInProgress>()(
  "UploadInProgress",
  { message },
  HttpApiSchema.annotations({ status: 409 })
) {}

/** A different file was uploaded with this Idempotency-Key. */
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

/** The client closed the connection before the end of the body, so it does not read this. */
export class UploadAborted
  extends Schema.TaggedError<UploadAborted>()("UploadAborted", { message }, HttpApiSchema.annotations({ status: 400 }))
{}

/** The database is unreachable or too slow. Nothing is lost; repeat the request after `Retry-After`. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()(
  "DatabaseUnavailable",
  { message },
  HttpApiSchema.annotations({ status: 503 })
) {}
