import { Cause, Effect, Either, Exit, FiberRef, HashMap, Option, Predicate, Tracer } from "effect"
import { delayAfter } from "../../../core/internal/delayAfter.js"
import { refsOf, replaceRefs } from "../../../core/internal/effectInternals.js"
import { addServices, type RefValue, refValue, type RunningFiber, setRefs } from "../../../core/internal/fiberState.js"
import { lazySpans } from "../../../core/internal/lazySpan.js"
import { ofUnitOfWork, type UnitOfWork } from "../../../core/internal/unitOfWork.js"
import { Cancelled, Draining } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import type { LeaseLost } from "../JobSource.js"
import type { Codec } from "./codec.js"
import type { JobRun, Pool } from "./poolState.js"
import { deadLetter } from "./settle.js"

/** The failure of a job whose `complete` has succeeded in a transaction that was rolled back. */
export const rolledBack = Cause.fail(new Error("`complete` was undone: the transaction around it was rolled back"))

/** Aborts the job's signal, so that promises of its process stop. */
export const abort = (pool: Pool, run: JobRun) =>
  run.abortController?.abort(
    run.outcome === "Cancelled"
      ? new Cancelled({ pool: pool.name, id: run.claim.id })
      : new Draining({ pool: pool.name })
  )

export const isLeaseLost = Predicate.isTagged("LeaseLost") as (error: unknown) => error is LeaseLost

/** `JobContext.idempotencyKey`. */
export const idempotencyKey = (pool: Pool, id: string) => (step?: string): string =>
  [pool.name, id, ...(step === undefined ? [] : [step])].join("/")

/** The error of a job that cannot run as it is stored, with what to do about it. */
export const decodeError = (pool: Pool, run: JobRun, what: "payload" | "cursor", stored: unknown, error: string) =>
  `${pool.name}: job ${run.claim.id} was not run, because its stored ${what} does not decode. Stored is ` +
  `${JSON.stringify(stored)?.slice(0, 500)}. ${error}\n` +
  `It is kept among the dead letters: deploy a schema that decodes it as well, then redrive it` +
  (what === "cursor" ? ", or redrive it from the start." : ", or discard it.")

/** Makes the fiber one of the pool's: it has the services, and its logs the name of the pool, and the id of a single job. */
export const ofPool = (fiber: RunningFiber, pool: Pool, id?: string): void => {
  const logs = HashMap.set(fiber.getFiberRef(FiberRef.currentLogAnnotations), "pool", pool.name as unknown)
  setRefs(
    fiber,
    refValue(FiberRef.currentLogAnnotations, id === undefined ? logs : HashMap.set(logs, "job", id as unknown)),
    refValue(FiberRef.currentContext, pool.events.withServices(fiber.currentContext))
  )
}

/** Runs the process of jobs, on a fiber of the pool, in its span, its unit of work and the ownership of the pool, and goes on with its exit. */
export const runProcess = <A>(
  owner: RefValue,
  options: {
    readonly unit: UnitOfWork
    /** The name of its span. */
    readonly name: string
    readonly attributes: Readonly<Record<string, unknown>>
    /** Runs it until it ends. On this fiber, and interruptible, by default. */
    readonly exitOf?: (process: Effect.Effect<unknown, unknown>) => Effect.Effect<Exit.Exit<unknown, unknown>>
  },
  process: Effect.Effect<unknown, unknown>,
  next: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<A>
): Effect.Effect<A> =>
  Effect.withFiberRuntime((fiber) => {
    const refs = refsOf(fiber)
    const { attributes, exitOf, name, unit } = options
    const spans = lazySpans(fiber)
    const span = spans?.start({ name, attributes: () => attributes })
    const inSpan = span === undefined
      ? Effect.withSpan(process, name, { root: true, captureStackTrace: false, attributes })
      : process
    const context = span === undefined
      ? fiber.currentContext
      : addServices(fiber.currentContext, [Tracer.ParentSpan, span])
    setRefs(fiber, ofUnitOfWork(unit), owner, refValue(FiberRef.currentContext, context))
    const ended = (exit: Exit.Exit<unknown, unknown>) => {
      if (span !== undefined) spans?.end(span, exit)
      replaceRefs(fiber, refs)
      return next(exit)
    }
    return exitOf === undefined
      ? Effect.matchCauseEffect(Effect.interruptible(inSpan), {
        onFailure: (cause) => ended(Exit.failCause(cause)),
        onSuccess: (value) => ended(Exit.succeed(value))
      })
      : Effect.flatMap(exitOf(inSpan), ended)
  })

/** Goes on with the payload of a job that has an attempt left and decodes. A job that has none, or does not, is moved to the dead letters. */
export const withPayload = <Job>(
  pool: Pool,
  codec: Codec<Job>,
  run: JobRun,
  next: (payload: Job) => Effect.Effect<void>
): Effect.Effect<void> =>
  run.claim.attempt === 1
    ? decodePayload(pool, codec, run, next)
    : withAttemptLeft(pool, run, () => decodePayload(pool, codec, run, next))

const decodePayload: typeof withPayload = (pool, codec, run, next) => {
  const { payload } = run.claim
  const decoded = codec.decode(payload)
  return Either.isLeft(decoded)
    ? deadLetter(pool, run, decodeError(pool, run, "payload", payload, decoded.left))
    : next(decoded.right)
}

/** Processes that died have spent attempts as well, so a job that kills its process ends here. */
const withAttemptLeft = (pool: Pool, run: JobRun, next: () => Effect.Effect<void>): Effect.Effect<void> => {
  const { attempt } = run.claim
  return Effect.flatMap(
    delayAfter(pool.retry, attempt - 1),
    (delay) =>
      Option.isNone(delay)
        ? deadLetter(pool, run, `attempt ${attempt} is one more than its schedule allows`)
        : next()
  )
}

/** Records that a job could not be settled for a defect of the engine, of a codec or of a schedule: those of the process are in its exit. */
export const cutOnDefect = (pool: Pool, run: JobRun) => <A, E>(settled: Effect.Effect<A, E>): Effect.Effect<A | void> =>
  Effect.catchAllCause(settled, (cause) =>
    Effect.zipRight(
      Effect.logError("the job could not be settled; its lease will expire", cause),
      pool.events.record(JobEvent.Cut({ ...pool.events.runFields(run.claim), error: Cause.pretty(cause) }))
    ))
