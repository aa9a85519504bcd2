import { Option, Schema } from "effect"

/**
 * The job that was awaited is a dead letter: it failed for the last time. It may be redriven, and awaited again. Its schema
 * leaves the failure as it is: encode one that is no JSON before the error leaves the process.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobDeadLettered<out Failure = never>
  extends Schema.TaggedError<JobDeadLettered<unknown>>()("JobDeadLettered", {
    queue: Schema.String,
    id: Schema.String,
    /** The error of the last attempt, as text. */
    error: Schema.String,
    /** See `JobSource.DeadLetter.failure`; always none without the schema `failure` of the pool. */
    failure: Schema.optionalWith(Schema.Unknown, { as: "Option" }).pipe(
      Schema.withConstructorDefault(() => Option.none())
    )
  })
{
  declare readonly failure: Option.Option<Failure>

  override get message() {
    return `${this.queue}: job ${this.id} is a dead letter: ${this.error}`
  }
}

/**
 * The job that was awaited will never have a result: it was cancelled, or its dead letter was discarded; or it is not known, because it was never offered,
 * its offer is not committed yet, or its id is not kept any more.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobGone extends Schema.TaggedError<JobGone>()("JobGone", {
  queue: Schema.String,
  id: Schema.String
}) {
  override get message() {
    return `${this.queue}: job ${this.id} is gone: it was cancelled or discarded, or the queue does not know it`
  }
}
