import type { Duration } from "effect"

/**
 * A job that another one depends on: the id of a job of the same queue, or a job of another queue of the same source.
 *
 * @since 0.1.0
 * @category models
 */
export type Dependency = string | { readonly queue: string; readonly id: string }

/**
 * Options for one offered job.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfferOptions {
  /** How long until the job becomes available. Zero by default, and for a negative number. */
  readonly delay?: Duration.DurationInput | undefined
  /**
   * The id of the job, any text. By default the engine makes one. Offering an id that the queue has, whether the job waits,
   * runs or is a dead letter, or was acknowledged less than `keepIdFor` ago, changes nothing: a client that does not know
   * whether its offer succeeded can repeat it. The id is free at once when its dead letter is discarded.
   */
  readonly id?: string | undefined
  /**
   * How long a given `id` is kept after its job was acknowledged. 5 minutes by default: longer than clients repeat a
   * request, and short enough that kept ids need little room. Zero frees it at once, for work that recurs by name. Zero by
   * default with `uniqueFor`.
   */
  readonly keepIdFor?: Duration.DurationInput | undefined
  /**
   * For how long after this offer the given `id` is taken, also when its job is acknowledged before: of the jobs that are offered with
   * one id, at most one is accepted in each such period. A job that lives longer than the period keeps its id as long. Not set
   * by default. Needs an `id`. The id is free at once when the job is cancelled, or its dead letter is discarded.
   */
  readonly uniqueFor?: Duration.DurationInput | undefined
  /**
   * Which jobs are claimed first: those of 0, the default, before those of 1, and so on up to 9. Jobs of one priority are
   * claimed in the order in which they became due. A job keeps its priority when it is retried or handed back. Nothing
   * is claimed as long as there are jobs before it: a job of 9 waits for all others. An orphan is claimed when its turn comes,
   * whatever its priority. An offer with a priority fails with `JobSourceError` where `Service.priorities` is `false`.
   */
  readonly priority?: number | undefined
  /**
   * Any text but the empty one, such as the id of a customer. Of the jobs of one key one runs at a time, in all processes, and they begin in the order of
   * their offers; others run beside them. None by default. The first job of a key has its turn until it is acknowledged, a dead letter or cancelled, however
   * long it is delayed, snoozed or waits for a retry. **Promised:** no job is claimed while another one of its key is. **Not promised:** that a run which was
   * cancelled or has lost its lease has ended by then, though it writes nothing. Offers with a key fail where `Service.keys` is `false`.
   */
  readonly key?: string | undefined
  /**
   * The jobs that this one depends on: it is `Blocked` until all of them have succeeded, and becomes available in the commit in which the last one does. None by
   * default; a job that is named twice is one. With a `key` or a `delay` it waits for both.
   *
   * They were offered before, at the latest in the same transaction. One that has succeeded counts for as long as its id is kept (`keepIdFor`); from
   * this offer on it is kept for at least a minute after its end. An id that the queue does not know fails the offer with `JobSourceError`, whose cause is
   * `JobSource.UnknownDependency`, and so does the `id` of the job itself. In a transaction, the jobs that are named end only after its commit.
   *
   * A dead letter is no end: the job stays blocked, and goes on once the dead letter was redriven and has succeeded. When a job that it depends on is cancelled, or its dead
   * letter discarded, it becomes a dead letter whose error names that job. Redriven, it runs without that job, after the others. Offers that depend
   * on jobs fail where `Service.dependencies` is `false`.
   */
  readonly dependsOn?: ReadonlyArray<Dependency> | undefined
}

/**
 * Options for jobs that are offered together.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfferAllOptions extends Omit<OfferOptions, "id" | "key" | "dependsOn"> {
  /** The ids of the jobs in order, see `OfferOptions.id`: as many as there are jobs. By default the engine makes them. */
  readonly ids?: ReadonlyArray<string> | undefined
  /** The keys of the jobs in order: as many as there are jobs, `undefined` for one without a key. None by default. */
  readonly keys?: ReadonlyArray<string | undefined> | undefined
  /**
   * What each of the jobs depends on, in order: as many lists as there are jobs, `undefined` for one that depends on none. None by default. They are
   * jobs that were offered before, so none of these.
   */
  readonly dependsOn?: ReadonlyArray<ReadonlyArray<Dependency> | undefined> | undefined
}

/**
 * How `JobSource.JobQueue.offer` offers jobs.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueOffer extends OfferAllOptions {
  /**
   * Has the engine announce the ends of these jobs, which are about to be awaited: what `awaitEnd` does for any other job would come too late for one that
   * ends at once. `false` by default.
   */
  readonly awaited?: boolean | undefined
}
