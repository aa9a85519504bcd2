import { Schema } from "effect"

const number = (from: number, to: number) => Schema.NumberFromString.pipe(Schema.int(), Schema.between(from, to))

const date = Schema.OptionFromNullOr(Schema.DateTimeUtc)

const State = Schema.Literal("Waiting", "Delayed", "Blocked", "Running", "Dead")

const Scope = Schema.Literal("Queue", "Process")

const byState = <A, I>(value: Schema.Schema<A, I>) =>
  Schema.Struct({ Waiting: value, Delayed: value, Blocked: value, Running: value, Dead: value })

/** See `QueueControl.StoredJob`. */
export const Job = Schema.Struct({
  id: Schema.String,
  state: State,
  /** See `OfferOptions.key`; `null` without one. */
  key: Schema.OptionFromNullOr(Schema.String),
  payload: Schema.Unknown,
  attempt: Schema.Int,
  /** What the last checkpoint left; `null` before the first. */
  cursor: Schema.Unknown,
  offeredAt: Schema.DateTimeUtc,
  dueAt: Schema.DateTimeUtc,
  run: Schema.OptionFromNullOr(Schema.Struct({
    by: Schema.OptionFromNullOr(Schema.String),
    since: date,
    leaseUntil: date
  })),
  error: Schema.OptionFromNullOr(Schema.String),
  /** What a dead letter failed with, encoded by the schema `failure` of its pool; `null` without one. */
  failure: Schema.Unknown,
  failedAt: date
}).annotations({ identifier: "Job" })

export const Page = Schema.Struct({
  jobs: Schema.Array(Job),
  next: Schema.OptionFromNullOr(Schema.String)
}).annotations({ identifier: "JobPage" })

/** A queue, and the pool of this process that runs its jobs. */
export const Queue = Schema.Struct({
  name: Schema.String,
  /** See `QueueControl.Depth`. */
  jobs: byState(Schema.Struct({ count: Schema.Int, estimated: Schema.Boolean })),
  oldest: date,
  /** How many jobs of each state can be listed; `null` for all of them. */
  listLimits: byState(Schema.NullOr(Schema.Int)),
  /** See `WorkerPool.Status`. */
  pool: Schema.Struct({
    condition: Schema.String,
    concurrency: Schema.Int,
    paused: Schema.Array(Scope),
    inFlight: Schema.Int,
    finished: Schema.Int,
    handedBack: Schema.Int,
    cut: Schema.Int
  })
}).annotations({ identifier: "Queue" })

export const ListParams = Schema.Struct({
  state: State,
  after: Schema.optional(Schema.String),
  limit: Schema.optionalWith(number(1, 1_000), { default: () => 100 })
})

export const ScopeParams = Schema.Struct({ scope: Schema.optionalWith(Scope, { default: () => "Queue" as const }) })

export const RedriveParams = Schema.Struct({
  fromStart: Schema.optionalWith(Schema.BooleanFromString, { default: () => false })
})

const ids = Schema.Array(Schema.String).pipe(Schema.minItems(1), Schema.maxItems(1_000))

export const RedrivePayload = Schema.Struct({
  ids,
  fromStart: Schema.optionalWith(Schema.Boolean, { default: () => false })
})

export const RedriveMatchingPayload = Schema.Struct({
  /** A part of the error; required, so that a misspelt name does not redrive everything. Empty for all of them. */
  error: Schema.String,
  limit: Schema.optional(Schema.Int.pipe(Schema.positive())),
  fromStart: Schema.optionalWith(Schema.Boolean, { default: () => false })
})

export const DiscardPayload = Schema.Struct({ ids })

/** How many jobs were changed. */
export const Changed = Schema.Struct({ count: Schema.Int })
