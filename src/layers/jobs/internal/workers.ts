import { Array, type Context, Duration, Effect, type Fiber } from "effect"
import type { RefValue } from "../../../core/internal/fiberState.js"
import { makeInFlight } from "../../../core/internal/inFlight.js"
import type { Codec } from "./codec.js"
import type { JobRun, Pool } from "./poolState.js"
import { type BatchProcess, runBatch } from "./runBatch.js"
import { type JobProcess, runJob } from "./runJob.js"

/** How a pool runs the jobs that it has claimed. */
export interface Workers {
  /** How many more jobs may be claimed now. */
  readonly room: () => number
  /** How many jobs are claimed at most before there is room for them. */
  readonly ahead: number
  /** Completes when there is room. */
  readonly awaitRoom: Effect.Effect<void>
  /** Waits for more jobs once there is one. */
  readonly awaitMore: Effect.Effect<void>
  /** Starts jobs on fibers that are in flight. */
  readonly start: (runs: ReadonlyArray<JobRun>) => Effect.Effect<void>
}

/** The jobs of a pool, and how it runs them. */
export interface PoolJobs<in out Job> {
  readonly payload: Codec<Job>
  /** The services of the process and of `onEvent`. */
  readonly services: Context.Context<never>
  /** `owner` makes the pool the owner of the daemons that a job forks. */
  readonly workers: (pool: Pool, owner: RefValue) => Effect.Effect<Workers>
}

/** Measures jobs for as long as their fiber runs, and has their leases renewed also while they block the event loop. */
const observe = (
  { events, queue: { whileBlocked } }: Pool,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  runs: ReadonlyArray<JobRun>
) => {
  events.measure(fiber, runs.length)
  if (whileBlocked === undefined) return
  const releases = runs.map(({ claim }) => whileBlocked.hold(claim))
  fiber.addObserver(() => releases.forEach((release) => release()))
}

/** After this time an orphan that runs is not held to be what ends processes, so that a long one holds up no others. */
const trialTime = Duration.minutes(10)

/** Runs an orphan that has taken the turn, and releases it once. */
const inOrphanTurn = ({ orphanTurn }: Pool, run: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    let holds = true
    const release = Effect.suspend(() => {
      if (!holds) return Effect.void
      holds = false
      return orphanTurn.release
    })
    return Effect.fork(Effect.interruptible(Effect.delay(release, trialTime))).pipe(
      Effect.zipRight(run),
      Effect.ensuring(release)
    )
  })

/** Runs each job on a fiber of its own. */
export const singly = <Job, Cursor>(job: Omit<JobProcess<Job, Cursor>, "owner">): PoolJobs<Job> => ({
  payload: job.payload,
  services: job.services,
  workers: (pool, owner) => {
    const { concurrency, inFlight } = pool
    const process = { ...job, owner }
    return Effect.succeed({
      room: () => concurrency - inFlight.size(),
      ahead: concurrency,
      awaitRoom: inFlight.awaitAtMost(concurrency - 1),
      awaitMore: Effect.void,
      start: Effect.forEach((run: JobRun) => {
        const running = runJob(pool, process, run)
        const turn = run.claim.orphan ? inOrphanTurn(pool, running) : running
        return inFlight.fork(run, turn, (fiber) => observe(pool, fiber, [run]))
      }, { discard: true })
    })
  }
})

/** Runs jobs together, on a fiber for each batch. An orphan is a batch of its own, beside the others. */
export const inBatches = <Job>(
  { batchSize, batchWait }: { readonly batchSize: number; readonly batchWait: Duration.Duration },
  job: Omit<BatchProcess<Job>, "owner">
): PoolJobs<Job> => ({
  payload: job.payload,
  services: job.services,
  workers: (pool, owner) =>
    Effect.map(makeInFlight<void>(), (batches) => {
      const process = { ...job, owner }
      const start = (runs: Array.NonEmptyReadonlyArray<JobRun>) => {
        const [{ claim }] = runs
        const running = runBatch(pool, process, runs)
        return Effect.uninterruptible(
          Effect.map(Effect.forkDaemon(claim.orphan ? inOrphanTurn(pool, running) : running), (fiber) => {
            observe(pool, fiber, runs)
            batches.add(fiber, undefined)
            for (const run of runs) {
              run.batch = { runs, fiber: undefined }
              pool.inFlight.add(fiber, run)
            }
          })
        )
      }
      return {
        room: () => (pool.concurrency - batches.size()) * batchSize,
        ahead: batchSize,
        awaitRoom: batches.awaitAtMost(pool.concurrency - 1),
        awaitMore: Duration.toMillis(batchWait) === 0 ? Effect.void : Effect.sleep(batchWait),
        start: (runs) => {
          const [others, orphans] = Array.partition(runs, ({ claim }) => claim.orphan)
          const full = Array.isNonEmptyArray(others) ? Array.chunksOf(others, batchSize) : []
          return Effect.forEach([...full, ...orphans.map(Array.of)], start, { discard: true })
        }
      }
    })
})
