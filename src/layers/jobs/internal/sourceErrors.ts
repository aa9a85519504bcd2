import { Schema } from "effect"
import { errorMessage } from "../../../core/internal/errorMessage.js"

/**
 * The engine is unavailable, or refused an operation.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobSourceError extends Schema.TaggedError<JobSourceError>()("JobSourceError", {
  /** The operation that failed, such as `claim` or `offer`. */
  operation: Schema.String,
  queue: Schema.String,
  /** The error of the engine. */
  cause: Schema.Defect
}) {
  override get message() {
    return `${this.queue}: ${this.operation} failed: ${errorMessage(this.cause)}`
  }
}

/**
 * A bounded queue has no room. Offer again later, or let the client do so (503 with `Retry-After`).
 *
 * @since 0.1.0
 * @category errors
 */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", {
  queue: Schema.String,
  /** The number of jobs that the queue has room for. */
  capacity: Schema.Int
}) {
  override get message() {
    return `${this.queue}: the queue is full (capacity ${this.capacity})`
  }
}

/**
 * The cause of a `JobSourceError` of an offer: a job cannot wait for one that its queue does not know. It was never offered, was cancelled or discarded, or has
 * succeeded and its id is not kept any more.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownDependency extends Schema.TaggedError<UnknownDependency>()("UnknownDependency", {
  /** The queue of the unknown job. */
  queue: Schema.String,
  id: Schema.String
}) {
  override get message() {
    return `it depends on the job ${JSON.stringify(this.id)} of the queue ${
      JSON.stringify(this.queue)
    }, which is not known. Offer that one before, and keep its id (\`keepIdFor\`) for as long as jobs are offered that depend on it`
  }
}

/**
 * The run does not hold the job any more: its lease expired, or the job was cancelled. Nothing was written.
 *
 * @since 0.1.0
 * @category errors
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  queue: Schema.String,
  id: Schema.String
}) {
  override get message() {
    return `${this.queue}: the lease of job ${this.id} is gone; nothing was written`
  }
}

/**
 * The text is no position in this list: pass what `JobPage.next` was, for the same state.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidPosition extends Schema.TaggedError<InvalidPosition>()("InvalidPosition", {
  queue: Schema.String,
  position: Schema.String
}) {
  override get message() {
    return `${this.queue}: ${
      JSON.stringify(this.position)
    } is no position in this list; pass the \`next\` of the page before`
  }
}
