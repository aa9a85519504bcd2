import { Effect, Option } from "effect"
import type { InvalidPosition, JobSourceError } from "../JobSource.js"
import type { PauseScope, StoredJob } from "../QueueControl.js"
import { JobNotFound, JobsUnavailable, PositionInvalid, QueueNotFound } from "./consoleErrors.js"
import type { RedriveMatchingOptions, Service } from "./poolService.js"
import { redriveMatching } from "./redriveMatching.js"

type Pool = Service<never>

/** A value as JSON shows it. Jobs in memory may be anything. */
const printable = (value: unknown): unknown => {
  try {
    return JSON.parse(JSON.stringify(value) ?? "null")
  } catch {
    return String(value)
  }
}

const toJob = (job: StoredJob) => ({
  ...job,
  payload: printable(job.payload),
  cursor: printable(Option.getOrNull(job.cursor)),
  failure: printable(Option.getOrNull(job.failure))
})

const noMore = (limit: number) => Number.isFinite(limit) ? limit : null

const toQueue = (pool: Pool) =>
  Effect.zipWith(pool.depth, pool.status, ({ jobs, oldest }, status) => ({
    name: pool.name,
    jobs,
    oldest,
    listLimits: {
      Waiting: noMore(pool.listLimits.Waiting),
      Delayed: noMore(pool.listLimits.Delayed),
      Blocked: noMore(pool.listLimits.Blocked),
      Running: noMore(pool.listLimits.Running),
      Dead: noMore(pool.listLimits.Dead)
    },
    pool: status
  }))

/** An unavailable source is answered. The error of the engine may contain addresses: it is logged, and not answered. */
export const available = <A, E>(effect: Effect.Effect<A, E | JobSourceError>) =>
  Effect.catchIf(
    effect,
    (error): error is E & JobSourceError => (error as { readonly _tag?: unknown })._tag === "JobSourceError",
    (error) =>
      Effect.zipRight(
        Effect.logWarning("The job console could not reach the source", error),
        new JobsUnavailable({ message: `${error.queue}: the source of the jobs is unavailable` })
      )
  ) as Effect.Effect<A, Exclude<E, JobSourceError> | JobsUnavailable>

/** The services, of which no two may have one name. `what`: the console, and what it is over. */
export const distinct = <S extends { readonly name: string }>(
  what: string,
  services: ReadonlyArray<S>
): Effect.Effect<ReadonlyArray<S>> => {
  const twice = services.find(({ name }, n) => services.findIndex((other) => other.name === name) !== n)
  return twice === undefined ? Effect.succeed(services) : Effect.dieMessage(`${what} are named ${twice.name}`)
}

/** What the endpoints do, over the pools of this process. */
export const makeConsole = (pools: ReadonlyArray<Pool>) => {
  const byName = new Map(pools.map((pool) => [pool.name, pool]))
  const withPool = <A, E>(name: string, f: (pool: Pool) => Effect.Effect<A, E | JobSourceError>) => {
    const pool = byName.get(name)
    return pool === undefined
      ? Effect.fail(new QueueNotFound({ message: `no pool of this process has the queue ${name}` }))
      : available(f(pool))
  }
  const oneOf = (id: string, what: string) => (count: number) =>
    count > 0 ? Effect.void : Effect.fail(new JobNotFound({ message: `there is no ${what} ${id}` }))

  return {
    queues: Effect.map(available(Effect.forEach(pools, toQueue, { concurrency: 4 })), (queues) => ({ queues })),
    queue: (name: string) => withPool(name, toQueue),
    jobs: (name: string, params: Parameters<Pool["list"]>[0]) =>
      withPool(name, (pool) =>
        pool.list(params).pipe(
          Effect.map(({ jobs, next }) => ({ jobs: jobs.map(toJob), next })),
          Effect.catchTag("InvalidPosition", ({ message }: InvalidPosition) => new PositionInvalid({ message }))
        )),
    job: (name: string, id: string) =>
      withPool(name, (pool) =>
        Effect.flatMap(
          pool.find(id),
          Option.match({
            onNone: () => Effect.fail(new JobNotFound({ message: `there is no job ${id}` })),
            onSome: (job) => Effect.succeed(toJob(job))
          })
        )),
    cancel: (name: string, id: string) =>
      withPool(name, (pool) => Effect.flatMap(pool.cancel([id]), oneOf(id, "job that waits or runs"))),
    setPaused: (name: string, scope: PauseScope, paused: boolean) =>
      withPool(name, (pool) => Effect.zipRight(paused ? pool.pause(scope) : pool.resume(scope), toQueue(pool))),
    redrive: (name: string, id: string, options: { readonly fromStart: boolean }) =>
      withPool(name, (pool) => Effect.flatMap(pool.deadLetters.redrive([id], options), oneOf(id, "dead letter"))),
    redriveAll: (name: string, ids: ReadonlyArray<string>, options: { readonly fromStart: boolean }) =>
      withPool(name, (pool) => Effect.map(pool.deadLetters.redrive(ids, options), (count) => ({ count }))),
    // Over the dead letters of the service: an app may have its own.
    redriveMatching: (name: string, options: RedriveMatchingOptions) =>
      withPool(name, (pool) => Effect.map(redriveMatching(pool.deadLetters, options), (count) => ({ count }))),
    discard: (name: string, id: string) =>
      withPool(name, (pool) => Effect.flatMap(pool.deadLetters.discard([id]), oneOf(id, "dead letter"))),
    discardAll: (name: string, ids: ReadonlyArray<string>) =>
      withPool(name, (pool) => Effect.map(pool.deadLetters.discard(ids), (count) => ({ count })))
  }
}
