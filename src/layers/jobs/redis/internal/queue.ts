import type { JobJson, RedisQueueBackend } from "bullmq"
import { Clock, Duration, Effect, Option } from "effect"
import { settleAfterWrites, transactAllAfterWrites } from "../../internal/afterWrites.js"
import { claimant } from "../../internal/claimant.js"
import { dependenciesRefused } from "../../internal/dependencies.js"
import { keysRefused } from "../../internal/jobKeys.js"
import { defaultPriority } from "../../internal/priority.js"
import { makeQueueBound } from "../../internal/queueBound.js"
import { idsFault, keepIdForMillis, uniqueForMillis } from "../../internal/storable.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import { type Claim, type JobQueue, JobSourceError, LeaseLost, type Settlement } from "../../JobSource.js"
import type { Connection } from "./connection.js"
import { deadLetters } from "./deadLetters.js"
import { encodeId } from "./ids.js"
import {
  encodeCursor,
  encodeFailure,
  encodePayload,
  failureField,
  isAwaited,
  jobOptions,
  keepsId,
  lockToken,
  toClaim
} from "./jobRecord.js"
import { redisListing } from "./listing.js"
import { redisCommands } from "./redisCommands.js"
import { scriptsOf } from "./scripts.js"
import { makeTakes, takeAtOnce, type Taken } from "./takes.js"

type Finished = Parameters<RedisQueueBackend["moveToCompleted"]>[0]

/** The part of a job that BullMQ reads to finish it. */
export const finished = (id: string) => ({ id, opts: { attempts: 1 } }) as unknown as Finished

const noClaims = Effect.succeed<ReadonlyArray<Claim>>([])

/** One queue of BullMQ. */
export const make = (options: {
  readonly name: string
  /** The name, encoded for keys. */
  readonly key: string
  readonly prefix: string
  readonly backend: RedisQueueBackend
  readonly connection: Connection
  readonly lease: Duration.Duration
  /** See `JobSourceRedis.Options`. */
  readonly capacity: number
  readonly wakeUp: WakeUp
  readonly makeId: (now: number) => string
  /** Wakes the pools of this queue in all processes. */
  readonly wake: Effect.Effect<void>
  /** Tells all processes that this claim's job was cancelled. */
  readonly tellCancelled: (token: string) => Effect.Effect<void>
  /** Tells all processes that this job has ended. */
  readonly tellEnded: (id: string) => Effect.Effect<void>
}): Omit<JobQueue, "paused" | "setPaused" | "onCancel" | "awaitEnd"> => {
  const { backend, capacity, connection, key, makeId, name, prefix, tellCancelled, tellEnded, wake, wakeUp } = options
  const { redis } = connection
  const lease = Math.ceil(Duration.toMillis(options.lease))
  const scripts = scriptsOf(redis, (type) => backend.toKey(type))
  const leaseOf = ({ id, token }: Claim) => ({ id: encodeId(id), token })
  const renewOne = async (claim: Claim) => (await scripts.renew([leaseOf(claim)], lease)).length === 0
  const { fenced, send, sendFenced } = redisCommands(name, connection, renewOne)
  const by = claimant()
  const listing = redisListing({ name, backend, redis, send })
  // It joins no transaction.
  const isInTransaction = Effect.succeed(false)
  const takeRoom = makeQueueBound({ queue: name, capacity, depth: listing.depth, isInTransaction })
  const leaseLost = ({ id }: Claim) => new LeaseLost({ queue: name, id })

  /** The claims of jobs whose ids are kept after their acknowledgement. */
  const idKept = new WeakSet<Claim>()
  /** Those of jobs whose ends are announced. */
  const awaited = new WeakSet<Claim>()
  const announce = (claim: Claim) => awaited.has(claim) ? tellEnded(claim.id) : Effect.void

  /** Claims up to `count` jobs at once, among them at most one orphan, and none unless `orphan`. */
  const claimAtOnce = async (count: number, orphan: boolean): Promise<Taken<Claim>> => {
    // On one connection: the claims come after it.
    const orphanTaken = orphan ? scripts.takeOrphan().catch(() => undefined) : undefined
    const all = await takeAtOnce(backend, count, () => lockToken(by), (id, json, token) => {
      const claim = toClaim(id, json, token)
      if (keepsId(json)) idKept.add(claim)
      if (isAwaited(json)) awaited.add(claim)
      return claim
    })
    await orphanTaken
    const orphans = all.taken.filter((claim) => claim.orphan)
    // If the server is away, too, their leases expire.
    const left = new Set(orphan ? orphans.slice(1) : orphans)
    await Promise.allSettled(Array.from(left, (claim) => scripts.setAside(leaseOf(claim))))
    return { ...all, taken: all.taken.filter((claim) => !left.has(claim)) }
  }
  const take = makeTakes(wakeUp)

  /** Returns the claims whose lease is lost. In reverse, because BullMQ puts each job in front of the others. */
  const handBack = (claims: ReadonlyArray<Claim>) =>
    send("handBack", async () => {
      const lost = await Promise.all(
        [...claims].reverse().map(async (claim) => {
          const { id, token } = leaseOf(claim)
          return await fenced(claim, () => backend.moveJobFromActiveToWait(id, token)) ? [] : [claim]
        })
      )
      return lost.flat().reverse()
    })

  const complete = (claim: Claim, value: unknown = null) => {
    const { id, token } = leaseOf(claim)
    return backend.moveToCompleted(finished(id), value, !idKept.has(claim), token, false)
  }

  const renew: JobQueue["renew"] = (claims) =>
    claims.length === 0 ? noClaims : Effect.map(
      send("renew", () => scripts.renew(claims.map(leaseOf), lease)),
      (lost) => lost.map((index): Claim => claims[index]!)
    )

  const acknowledge: JobQueue["acknowledge"] = (claims) =>
    send("acknowledge", async () => {
      const held = await Promise.all(claims.map((claim) => fenced(claim, () => complete(claim))))
      return claims.filter((_, index) => !held[index])
    }).pipe(Effect.zipLeft(Effect.forEach(claims, announce, { discard: true })))

  const settle = (claim: Claim, how: Settlement): Effect.Effect<void, LeaseLost | JobSourceError> =>
    Effect.gen(function*() {
      if (how._tag === "Ack") {
        yield* sendFenced(claim, "transact", () => complete(claim, how.value?.()))
        return yield* announce(claim)
      }
      const { id, token } = leaseOf(claim)
      const cursor = how._tag === "Checkpoint" ? Option.some(how.cursor) : how.cursor
      if (Option.isSome(cursor)) {
        const written = yield* send("transact", () => scripts.setProgress({ id, token }, encodeCursor(cursor.value)))
        if (!written) return yield* leaseLost(claim)
      }
      if (how._tag === "Checkpoint" && !how.handBack) return
      const delay = how._tag === "Snooze" ? Math.ceil(Duration.toMillis(how.delay)) : 0
      if (delay > 0) {
        const now = yield* Clock.currentTimeMillis
        yield* sendFenced(claim, "transact", () => backend.moveToDelayed(id, now, delay, token, { skipAttempt: true }))
      } else if ((yield* handBack([claim])).length > 0) return yield* leaseLost(claim)
      yield* wake
    })

  return {
    offer: (payloads, options = {}) =>
      Effect.gen(function*() {
        if (payloads.length === 0) return []
        const { delay = Duration.zero, ids, priority = defaultPriority } = options
        const cause = idsFault(payloads.length, options)
        if (cause !== undefined) return yield* new JobSourceError({ operation: "offer", queue: name, cause })
        const refused = keysRefused(name, options, "BullMQ has no order by key") ?? dependenciesRefused(name, options)
        if (refused !== undefined) return yield* refused
        yield* takeRoom(payloads.length)
        const now = yield* Clock.currentTimeMillis
        const jobIds = ids ?? payloads.map(() => makeId(now))
        const uniqueFor = uniqueForMillis(options)
        const opts = jobOptions({
          delay: Math.ceil(Duration.toMillis(delay)),
          keepIdFor: keepIdForMillis(options),
          uniqueUntil: uniqueFor === undefined ? undefined : now + uniqueFor,
          priority,
          awaited: options.awaited === true
        })
        // One transaction: all of the jobs are stored, or none.
        yield* send("offer", async () => {
          if ("keepIdFor" in opts) await scripts.forget(now, jobIds.map(encodeId))
          const entries = payloads.map((payload, n) => ({
            prefix,
            queueName: key,
            jobId: encodeId(jobIds[n]!),
            parentKeyOpts: {},
            jobData: {
              name: "job",
              data: encodePayload(payload),
              opts,
              timestamp: now
            } as unknown as JobJson
          }))
          for (const [error] of await backend.addFlow(entries)) if (error !== null) throw error
        })
        yield* wake
        return jobIds
      }),

    wait: wakeUp.wait,
    claim: (limit, { orphan = true } = {}) =>
      take<Claim>(
        limit,
        (count, before) => send("claim", () => claimAtOnce(count, orphan && !before.some((claim) => claim.orphan)))
      ),

    // The writes belong to another system: the lease is checked before them, and the job settled after them.
    transact: (claim, writes, how) =>
      Effect.gen(function*() {
        const writesNothing = (writes as unknown) === Effect.void
        if (!writesNothing && !(yield* send("transact", () => renewOne(claim)))) return yield* leaseLost(claim)
        const value = yield* writes
        yield* settleAfterWrites(settle(claim, how))
        return value
      }),

    acknowledge,
    transactAll: transactAllAfterWrites(name, { acknowledge, hold: renew }),

    retry: (claim, { delay, error }) =>
      Effect.gen(function*() {
        const { id, token } = leaseOf(claim)
        const now = yield* Clock.currentTimeMillis
        const millis = Math.ceil(Duration.toMillis(delay))
        const fieldsToUpdate = { failedReason: error }
        yield* sendFenced(claim, "retry", () =>
          millis > 0
            ? backend.moveToDelayed(id, now, millis, token, { skipAttempt: false, fieldsToUpdate })
            : backend.retryJob(id, false, token, { fieldsToUpdate }))
        yield* wake
      }),

    deadLetter: (claim, error, failure = Option.none()) => {
      const { id, token } = leaseOf(claim)
      return sendFenced(claim, "deadLetter", () => {
        const fields = { [failureField]: encodeFailure(error, failure) }
        return backend.moveToFailed(finished(id), error, false, token, false, fields)
      }).pipe(Effect.zipLeft(announce(claim)))
    },

    handBack: (claims) => claims.length === 0 ? noClaims : Effect.zipLeft(handBack(claims), wake),

    renew,

    cancel: (ids) =>
      Effect.gen(function*() {
        let count = 0
        for (const id of new Set(ids)) {
          const token = yield* send("cancel", () => scripts.cancel(encodeId(id)))
          if (token === undefined) continue
          count++
          if (token !== "") yield* tellCancelled(token)
          yield* tellEnded(id)
        }
        return count
      }),

    size: Effect.map(
      send("size", async () => [
        ...await backend.getCounts(["wait", "delayed", "prioritized"]),
        await scripts.countOrphans()
      ]),
      (counts) => counts.reduce((sum, count) => sum + count, 0)
    ),

    ...listing,

    deadLetters: deadLetters({ backend, redis, scripts, send, wake })
  }
}
