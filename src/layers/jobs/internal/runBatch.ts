import { Array, Cause, type Context, Effect, Exit, Fiber, Option } from "effect"
import { afterCommit } from "../../../core/internal/afterCommit.js"
import type { RefValue } from "../../../core/internal/fiberState.js"
import { type BatchContext, BatchError, type BatchJob } from "../JobBatch.js"
import { JobEvent } from "../JobEvent.js"
import { LeaseLost } from "../JobSource.js"
import type { Codec } from "./codec.js"
import { handBack, handBackInterrupted } from "./handBack.js"
import {
  abort,
  cutOnDefect,
  idempotencyKey,
  isLeaseLost,
  ofPool,
  rolledBack,
  runProcess,
  withPayload
} from "./jobProcess.js"
import { type Batch, type JobRun, mayStart, mayStop, type Pool } from "./poolState.js"
import { acknowledgeAll, isCooperativeStop, recordSucceeded, settle } from "./settle.js"

/** How a pool decodes and processes its batches. */
export interface BatchProcess<in out Job> {
  /** The services of `processAll`, which the fibers of the pool have. */
  readonly services: Context.Context<never>
  /** Makes the pool the owner of the daemons that a batch forks. */
  readonly owner: RefValue
  readonly payload: Codec<Job>
  readonly processAll: (
    jobs: Array.NonEmptyReadonlyArray<BatchJob<Job>>,
    context: BatchContext<Job>
  ) => Effect.Effect<unknown, unknown>
}

interface Member<Job> {
  readonly run: JobRun
  readonly job: BatchJob<Job>
}

type Members<Job> = Array.NonEmptyReadonlyArray<Member<Job>>

const isUndecided = <Job>({ run }: Member<Job>) => run.outcome === "Undecided"

const makeContext = <Job>(pool: Pool, members: Members<Job>): BatchContext<Job> => {
  const runs = members.map(({ run }) => run)
  const first = members[0].run
  const byId = new Map(members.map((member) => [member.run.claim.id, member]))
  return {
    draining: pool.lifecycle.await("Quiesced"),
    get signal() {
      if (first.abortController === undefined) {
        const controller = new AbortController()
        for (const run of runs) run.abortController = controller
        if (mayStop(pool) || !members.some(isUndecided)) abort(pool, first)
      }
      return first.abortController!.signal
    },
    // The writes may be interrupted, but not between the commit and the change of the outcomes.
    complete: (jobs, writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const chosen = jobs.flatMap(({ id }) => byId.get(id) ?? []).filter(isUndecided)
          if (!Array.isNonEmptyArray(chosen)) return yield* new LeaseLost({ queue: pool.name, id: jobs[0].id })
          const failWith = (cause: Cause.Cause<unknown>) => {
            for (const { run } of chosen) run.failedCompletion = cause
          }
          failWith(rolledBack)
          const jobOf = new Map(chosen.map(({ job, run }) => [run.claim, job]))
          const transaction = pool.queue.transactAll(
            Array.map(chosen, ({ run }) => run.claim),
            (held) => restore(writes(Array.map(held, (claim) => jobOf.get(claim)!)))
          )
          const { lost, value } = yield* Effect.tapErrorCause(transaction, (cause) =>
            Effect.sync(() => {
              failWith(cause)
              // None of them is held.
              const error = Option.getOrUndefined(Cause.failureOption(cause))
              if (!isLeaseLost(error) || error.id !== chosen[0].run.claim.id) return
              for (const { run } of chosen) if (run.outcome === "Undecided") run.outcome = "LeaseLost"
            }))
          yield* afterCommit(Effect.sync(() => {
            for (const { run } of chosen) {
              if (!lost.includes(run.claim)) run.outcome = "Completed"
              else if (run.outcome === "Undecided") run.outcome = "LeaseLost"
            }
          }))
          return value
        })
      )
  }
}

/**
 * Runs `processAll` on a child fiber, which is interrupted with this one, or by itself when none of its jobs needs it any more: this
 * fiber settles the jobs, and may have more to run.
 */
const exitOf = (batch: Batch) => (process: Effect.Effect<unknown, unknown>) =>
  Effect.flatMap(Effect.fork(Effect.interruptible(process)), (fiber) => {
    batch.fiber = fiber
    return Effect.matchCauseEffect(Effect.interruptible(Fiber.await(fiber)), {
      onSuccess: Effect.succeed,
      onFailure: () => Fiber.interrupt(fiber)
    })
  })

/** Settles jobs that are settled in the source already, on this fiber: what is left are their events. */
const settleDecided = <Job>(pool: Pool, members: ReadonlyArray<Member<Job>>, exit: Exit.Exit<unknown, unknown>) => {
  const [others, completed] = Array.partition(members, ({ run }) => run.outcome === "Completed" && Exit.isSuccess(exit))
  return Effect.zipRight(
    recordSucceeded(pool, completed.map(({ run }) => run.claim)),
    Effect.forEach(others, ({ run }) => cutOnDefect(pool, run)(settle(pool, run, exit)), { discard: true })
  )
}

/** Settles the jobs of a batch by the exit of `processAll`, and returns those that run again, in which batches. */
const settleBatch = <Job>(
  pool: Pool,
  members: Members<Job>,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<ReadonlyArray<Members<Job>>> =>
  Effect.gen(function*() {
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    const named = failure instanceof BatchError
      ? new Map((failure as BatchError<unknown>).failures.map(({ error, id }) => [id, error]))
      : undefined
    const cause = Exit.isFailure(exit) && named === undefined ? exit.cause : undefined
    const settleEach = (some: ReadonlyArray<Member<Job>>, exitOf: (run: JobRun) => Exit.Exit<unknown, unknown>) =>
      Effect.forEach(some, ({ run }) => cutOnDefect(pool, run)(settle(pool, run, exitOf(run))), {
        concurrency: "unbounded",
        discard: true
      })

    const [decided, undecided] = Array.partition(members, isUndecided)
    yield* settleDecided(pool, decided, named === undefined ? exit : Exit.void)
    if (cause !== undefined) {
      if (undecided.length === 0) return []
      if (isCooperativeStop(pool, members[0].run, cause)) {
        yield* handBackAll(pool, undecided)
        return []
      }
      if (members.length > 1) return undecided.map(Array.of)
      yield* settleEach(undecided, () => exit)
      return []
    }
    const [others, failed] = Array.partition(undecided, ({ run }) => named?.has(run.claim.id) === true)
    const [succeeded, undone] = Array.partition(others, ({ run }) => run.failedCompletion !== undefined)
    yield* settleEach(failed, (run) => Exit.fail(named?.get(run.claim.id)))
    yield* acknowledgeAll(pool, succeeded.map(({ run }) => run.claim))
    if (!Array.isNonEmptyArray(undone)) return []
    if (failed.length > 0) return [undone]
    if (members.length > 1) return undone.map(Array.of)
    yield* settleEach(undone, () => Exit.void)
    return []
  })

const handBackAll = <Job>(pool: Pool, members: ReadonlyArray<Member<Job>>) => {
  const claims = members.map(({ run }) => run.claim)
  return pool.lifecycle.hasReached("Interrupting")
    ? Effect.forEach(claims, (claim) => handBackInterrupted(pool, claim), { discard: true })
    : handBack(pool, claims)
}

/** Runs jobs in one call of `processAll`, and settles them. Returns those that run again, in which batches. */
const runTogether = <Job>(pool: Pool, process: BatchProcess<Job>, members: Members<Job>) =>
  Effect.gen(function*() {
    const [{ run: { claim: { attempt, id }, unit } }] = members
    const batch: Batch = { runs: members.map(({ run }) => run), fiber: undefined }
    for (const run of batch.runs) {
      run.batch = batch
      run.unit = unit
      run.failedCompletion = undefined
      run.abortController = undefined
    }
    const context = makeContext(pool, members)
    const jobs = Array.map(members, ({ job }) => job)
    return yield* runProcess(
      process.owner,
      {
        unit,
        name: `${pool.name}.processAll`,
        attributes: members.length === 1 ? { id, attempt } : { jobs: members.length },
        exitOf: exitOf(batch)
      },
      Effect.suspend(() => process.processAll(jobs, context)),
      (exit) => {
        if (Exit.isFailure(exit)) abort(pool, members[0].run)
        return settleBatch(pool, members, exit)
      }
    )
  })

/**
 * Runs a batch until all of its jobs are settled. When it fails, and does not say for which jobs, each of them runs once more, alone: so a
 * job that fails costs the others of its batch no attempt. Once jobs may not start any more, those that are left are handed back.
 */
const runUntilSettled = <Job>(pool: Pool, process: BatchProcess<Job>, members: Members<Job>) =>
  Effect.gen(function*() {
    let batches: ReadonlyArray<ReadonlyArray<Member<Job>>> = [members]
    for (;;) {
      const [gone, left] = Array.partition(batches.flat(), isUndecided)
      yield* settleDecided(pool, gone, Exit.void)
      if (left.length === 0) return
      if (!mayStart(pool)) return yield* handBackAll(pool, left)
      const [batch, ...others] = batches.map(Array.filter(isUndecided)).filter(Array.isNonEmptyArray)
      batches = [...yield* runTogether(pool, process, batch!), ...others]
    }
  })

/** Runs claimed jobs on one fiber, and settles them. Only the user's process is interruptible, as in `runJob`. */
export const runBatch = <Job>(
  pool: Pool,
  process: BatchProcess<Job>,
  runs: Array.NonEmptyReadonlyArray<JobRun>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Effect.withFiberRuntime<void>((fiber) => {
      ofPool(fiber, pool)
      return Effect.void
    })
    const { recordAll, runFields } = pool.events
    yield* recordAll(runs.map(({ claim }) => JobEvent.Started(runFields(claim))))
    const members: Array<Member<Job>> = []
    for (const run of runs) {
      const { attempt, id } = run.claim
      const decoded = Effect.suspend(() =>
        withPayload(pool, process.payload, run, (payload) => {
          members.push({ run, job: { id, attempt, payload, idempotencyKey: idempotencyKey(pool, id) } })
          return Effect.void
        })
      )
      yield* cutOnDefect(pool, run)(decoded)
    }
    if (Array.isNonEmptyArray(members)) yield* runUntilSettled(pool, process, members)
  })
