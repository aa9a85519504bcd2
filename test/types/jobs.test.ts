// Checked by tsc; a run only shows that these expressions can be evaluated.
import { Config, type ConfigError, Context, Data, Effect, type Layer, type Option, Schema } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import type { BudgetError } from "../../src/core/ShutdownConfig.js"
import { BatchError, type BatchJob } from "../../src/layers/jobs/JobBatch.js"
import type { JobContext } from "../../src/layers/jobs/JobContext.js"
import type { JobEvent } from "../../src/layers/jobs/JobEvent.js"
import type { DeadLetter, JobSource, JobSourceError, LeaseLost, QueueFull } from "../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../src/layers/jobs/WorkerPool.js"

class Smtp extends Context.Tag("Smtp")<Smtp, { readonly send: (to: string) => Effect.Effect<void, Refused> }>() {}
class Audit extends Context.Tag("Audit")<Audit, (event: JobEvent) => Effect.Effect<void>>() {}
class Refused extends Data.TaggedError("Refused")<{ readonly to: string }> {}

interface Letter {
  readonly to: string
}
class Mailer extends WorkerPool.Tag("mailer")<Mailer, Letter>() {}
class Counter extends WorkerPool.Tag("counter")<Counter, number, Date>({
  payload: Schema.NumberFromString,
  cursor: Schema.Date
}) {}

class Squares extends WorkerPool.Tag("squares")<Squares, number, never, bigint>({ success: Schema.BigInt }) {}

describe("WorkerPool.Tag", () => {
  it("names its tag after the pool", () => {
    expectTypeOf(Mailer.key).toEqualTypeOf<"lastcall/WorkerPool/mailer">()
  })

  it("offers jobs of its type, and fails with QueueFull or JobSourceError", () => {
    expectTypeOf(Mailer.offer).parameter(0).toEqualTypeOf<Letter>()
    expectTypeOf(Mailer.offer({ to: "a" })).toEqualTypeOf<Effect.Effect<string, JobSourceError | QueueFull, Mailer>>()
    expectTypeOf(Mailer.offerAll([{ to: "a" }])).toEqualTypeOf<
      Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull, Mailer>
    >()
    // @ts-expect-error a job of another type
    void Mailer.offer({ from: "a" })
  })

  it("has a status that cannot fail", () => {
    expectTypeOf(Mailer.status).toEqualTypeOf<Effect.Effect<WorkerPool.Status, never, Mailer>>()
  })
})

describe("WorkerPool.Tag: layer", () => {
  it("fails with JobSourceError and BudgetError only: the errors of the process belong to its job", () => {
    const layer = Mailer.layer({ concurrency: 1, process: ({ to }) => Effect.fail(new Refused({ to })) })
    expectTypeOf(layer).toEqualTypeOf<Layer.Layer<Mailer, JobSourceError | BudgetError, JobSource>>()
  })

  it("requires the source, and the services of process and onEvent", () => {
    const layer = Mailer.layer({
      concurrency: 1,
      process: ({ to }) => Effect.flatMap(Smtp, ({ send }) => send(to)),
      onEvent: (event) => Effect.flatMap(Audit, (audit) => audit(event))
    })
    expectTypeOf(layer).toEqualTypeOf<Layer.Layer<Mailer, JobSourceError | BudgetError, JobSource | Smtp | Audit>>()
  })

  it("passes the errors of process to permanent", () => {
    Mailer.layer({
      concurrency: 1,
      process: ({ to }) => Effect.flatMap(Smtp, ({ send }) => send(to)),
      permanent: (error) => {
        expectTypeOf(error).toEqualTypeOf<Refused>()
        return true
      }
    })
  })

  it("passes jobs and cursors of the types of the schemas to process", () => {
    Counter.layer({
      concurrency: 1,
      process: (job, context) => {
        expectTypeOf(job).toEqualTypeOf<number>()
        expectTypeOf(context).toEqualTypeOf<JobContext<Date>>()
        expectTypeOf(context.cursor).toEqualTypeOf<Option.Option<Date>>()
        return Effect.void
      }
    })
    // @ts-expect-error a schema of another type
    void WorkerPool.Tag("counter")<Counter, number>({ payload: Schema.String })
  })

  it("adds ConfigError with layerConfig, in which each scalar is a value or a Config", () => {
    const layer = Mailer.layerConfig({
      concurrency: Config.integer("WORKERS"),
      drainTimeout: Config.duration("DRAIN_TIMEOUT"),
      releaseTimeout: "1 second",
      process: ({ to }) => Effect.flatMap(Smtp, ({ send }) => send(to)),
      permanent: (error) => {
        expectTypeOf(error).toEqualTypeOf<Refused>()
        return true
      }
    })
    expectTypeOf(layer).toEqualTypeOf<
      Layer.Layer<Mailer, JobSourceError | BudgetError | ConfigError.ConfigError, JobSource | Smtp>
    >()
    // @ts-expect-error a Config of another type
    Mailer.layerConfig({ concurrency: Config.string("WORKERS"), process: () => Effect.void })
  })
})

describe("WorkerPool.Tag: results", () => {
  type Failures = WorkerPool.JobDeadLettered | WorkerPool.JobGone | JobSourceError

  it("are of the type of the schema, and undefined without one", () => {
    expectTypeOf(Squares.offerAndWait(7)).toEqualTypeOf<Effect.Effect<bigint, Failures | QueueFull, Squares>>()
    expectTypeOf(Squares.awaitResult("id")).toEqualTypeOf<Effect.Effect<bigint, Failures, Squares>>()
    expectTypeOf(Mailer.awaitResult("id")).toEqualTypeOf<Effect.Effect<void, Failures, Mailer>>()
  })

  it("are what process returns, and what the writes of complete return", () => {
    Squares.layer({
      concurrency: 1,
      process: (n, job) => {
        // @ts-expect-error a result of another type
        void job.complete(Effect.void)
        return job.complete(Effect.succeed(BigInt(n)))
      }
    })
    // @ts-expect-error a result of another type
    Squares.layer({ concurrency: 1, process: (n) => Effect.succeed(n) })
    Squares.layerConfig({ concurrency: Config.integer("WORKERS"), process: (n) => Effect.succeed(BigInt(n)) })
    Mailer.layer({ concurrency: 1, process: () => Effect.succeed("anything") })
  })

  it("need their schema", () => {
    // @ts-expect-error no schema
    void WorkerPool.Tag("squares")<Squares, number, never, bigint>()
    // @ts-expect-error a schema of another type
    void WorkerPool.Tag("squares")<Squares, number, never, bigint>({ success: Schema.String })
    // @ts-expect-error a schema without the type
    void WorkerPool.Tag("squares")<Squares, number>({ success: Schema.BigInt })
  })
})

describe("WorkerPool.Tag: failures", () => {
  class Missing extends Schema.TaggedError<Missing>()("Missing", { path: Schema.String }) {}
  class Torn extends Schema.TaggedError<Torn>()("Torn", { page: Schema.Int }) {}
  class Files extends WorkerPool.Tag("files")<Files, string, never, void, Missing | Torn>({
    failure: Schema.Union(Missing, Torn)
  }) {}
  type Failures<Failure> = WorkerPool.JobDeadLettered<Failure> | WorkerPool.JobGone | JobSourceError

  it("are of the type of the schema, and never without one", () => {
    expectTypeOf(Files.awaitResult("id")).toEqualTypeOf<Effect.Effect<void, Failures<Missing | Torn>, Files>>()
    expectTypeOf(Files.offerAndWait("a")).toEqualTypeOf<
      Effect.Effect<void, Failures<Missing | Torn> | QueueFull, Files>
    >()
    expectTypeOf(Mailer.awaitResult("id")).toEqualTypeOf<Effect.Effect<void, Failures<never>, Mailer>>()
    expectTypeOf(Effect.flatMap(Files, ({ deadLetters }) => deadLetters.get("id"))).toEqualTypeOf<
      Effect.Effect<Option.Option<DeadLetter<Missing | Torn>>, JobSourceError, Files>
    >()
  })

  it("are all that process may fail with, besides the errors of its context", () => {
    Files.layer({
      concurrency: 1,
      process: (path, job) => job.complete(path === "" ? new Missing({ path }) : Effect.void),
      permanent: (error) => {
        expectTypeOf(error).toEqualTypeOf<Missing | LeaseLost | JobSourceError>()
        return error._tag === "Missing"
      }
    })
    Files.layer({ concurrency: 1, process: (path) => Effect.orDie(new Refused({ to: path })) })
    // @ts-expect-error an error that the schema does not describe
    // @effect-diagnostics-next-line missingEffectError:off -- it does not see the line above.
    Files.layer({ concurrency: 1, process: (path) => new Refused({ to: path }) })
    // @ts-expect-error an error that the schema does not describe
    // @effect-diagnostics-next-line missingEffectError:off -- it does not see the line above.
    Files.layerConfig({ concurrency: Config.integer("WORKERS"), process: (path) => new Refused({ to: path }) })
    Mailer.layer({ concurrency: 1, process: () => Effect.fail("anything") })
  })

  it("are all that the jobs of a batch may fail with", () => {
    const batches = { concurrency: 1, batchSize: 9 }
    const failAll = <E>(error: E) => ({
      ...batches,
      processAll: (jobs: ReadonlyArray<BatchJob<string>>) =>
        new BatchError({ failures: jobs.map(({ id }) => ({ id, error })) })
    })
    Files.layerBatched(failAll(new Torn({ page: 1 })))
    Files.layerBatched({ ...batches, processAll: () => new Torn({ page: 1 }) })
    // @ts-expect-error an error that the schema does not describe
    Files.layerBatched(failAll(new Refused({ to: "a" })))
    // @ts-expect-error an error that the schema does not describe
    // @effect-diagnostics-next-line missingEffectError:off -- it does not see the line above.
    Files.layerBatched({ ...batches, processAll: () => new Refused({ to: "a" }) })
  })

  it("need their schema", () => {
    // @ts-expect-error no schema
    void WorkerPool.Tag("files")<Files, string, never, void, Missing>()
    // @ts-expect-error a schema of another type
    void WorkerPool.Tag("files")<Files, string, never, void, Missing>({ failure: Torn })
    // @ts-expect-error a schema without the type
    void WorkerPool.Tag("files")<Files, string>({ failure: Torn })
    // @ts-expect-error one of two schemas
    void WorkerPool.Tag("files")<Files, string, never, bigint, Missing>({ failure: Missing })
  })
})

describe("JobContext", () => {
  const writes = Effect.flatMap(Smtp, ({ send }) => Effect.as(send("a"), 42))
  const complete = (job: JobContext<Date>) => job.complete(writes)
  const checkpoint = (job: JobContext<Date>) => job.checkpoint(new Date(0), writes)

  it("returns the value of the writes, and adds LeaseLost and JobSourceError to their errors", () => {
    type Written = Effect.Effect<number, Refused | LeaseLost | JobSourceError, Smtp>
    expectTypeOf(complete).returns.toEqualTypeOf<Written>()
    expectTypeOf(checkpoint).returns.toEqualTypeOf<Written>()
  })

  it("has checkpoints of the cursor's type", () => {
    // @ts-expect-error a cursor of another type
    const wrong = (job: JobContext<Date>) => job.checkpoint(7, Effect.void)
    expectTypeOf(wrong).parameter(0).toEqualTypeOf<JobContext<Date>>()
  })
})

describe("JobSourceMemory", () => {
  it("needs nothing, and fails only by its configuration", () => {
    expectTypeOf(JobSourceMemory.layer()).toEqualTypeOf<Layer.Layer<JobSource>>()
    expectTypeOf(JobSourceMemory.layerConfig({ capacity: Config.integer("CAPACITY") })).toEqualTypeOf<
      Layer.Layer<JobSource, ConfigError.ConfigError>
    >()
  })
})
