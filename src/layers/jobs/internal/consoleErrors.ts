import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

/**
 * No pool of this process has a queue of this name. Status 404.
 *
 * @since 0.1.0
 * @category errors
 */
export class QueueNotFound extends Schema.TaggedError<QueueNotFound>()(
  "QueueNotFound",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {}

/**
 * No schedule of this process has this name. Status 404.
 *
 * @since 0.1.0
 * @category errors
 */
export class ScheduleNotFound extends Schema.TaggedError<ScheduleNotFound>()(
  "ScheduleNotFound",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {}

/**
 * The queue has no job of this id, or it is no dead letter where one is asked for. Status 404.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobNotFound extends Schema.TaggedError<JobNotFound>()(
  "JobNotFound",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {}

/**
 * `after` is no `next` of this list. Status 400.
 *
 * @since 0.1.0
 * @category errors
 */
export class PositionInvalid extends Schema.TaggedError<PositionInvalid>()(
  "PositionInvalid",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 400 })
) {}

/**
 * The source is unavailable, or refused the operation. Nothing was changed; the log says why. Status 503.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobsUnavailable extends Schema.TaggedError<JobsUnavailable>()(
  "JobsUnavailable",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {}
