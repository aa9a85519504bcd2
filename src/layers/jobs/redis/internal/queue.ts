import type { JobJson, RedisQueueBackend } from "bullmq"
import { Clock, Duration, Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import { settleAfterWrites } from "../../internal/afterWrites.js"
import { idsFault, keepIdForMillis } from "../../internal/storable.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import {
  type Claim,
  type JobQueue,
  JobSourceError,
  LeaseLost,
  type Settlement,
  type StoredJob
} from "../../JobSource.js"
import type { Connection } from "./connection.js"
import { deadLetters } from "./deadLetters.js"
import { encodeId } from "./ids.js"
import { encodeCursor, encodePayload, jobOptions, keepsId, toClaim, toJob } from "./jobRecord.js"
import { redisCommands } from "./redisCommands.js"
import { scriptsOf } from "./scripts.js"

type Finished = Parameters<RedisQueueBackend["moveToCompleted"]>[0]

/** The part of a job that BullMQ reads to finish it. */
const finished = (id: string) => ({ id, opts: { attempts: 1 } }) as unknown as Finished

const noClaims = Effect.succeed<ReadonlyArray<Claim>>([])

/** How the number of claims sent at a time grows. Starts with one, because the queue may be empty. */
const claimGrowth = 4

/** One queue of BullMQ. */
export const make = (options: {
  readonly name: string
  /** The name, encoded for keys. */
  readonly key: string
  readonly prefix: string
  readonly backend: RedisQueueBackend
  readonly connection: Connection
  readonly lease: Duration.Duration
  readonly wakeUp: WakeUp
  readonly makeId: (now: number) => string
  /** Wakes the pools of this queue in all processes. */
  readonly wake: Effect.Effect<void>
}): JobQueue => {
  const { backend, connection, key, makeId, name, prefix, wake, wakeUp } = options
  const { redis } = connection
  const lease = Math.ceil(Duration.toMillis(options.lease))
  const scripts = scriptsOf(redis, (type) => backend.toKey(type))
  const leaseOf = ({ id, token }: Claim) => ({ id: encodeId(id), token })
  const renewOne = async (claim: Claim) => (await scripts.renew([leaseOf(claim)], lease)).length === 0
  const { fenced, send, sendFenced } = redisCommands(name, connection, renewOne)
  const leaseLost = ({ id }: Claim) => new LeaseLost({ queue: name, id })

  /** The claims of jobs whose ids are kept after their acknowledgement. */
  const idKept = new WeakSet<Claim>()

  /** Claims up to `count` jobs at once. Returns when the next one is due, if BullMQ said so. */
  const claimSome = async (count: number, orphan: boolean) => {
    // On one connection: the claims come after it.
    const orphanTaken = orphan ? scripts.takeOrphan() : undefined
    const results = await Promise.allSettled(Array.from({ length: count }, async () => {
      const token = randomUUID()
      const [json, id, , due] = await backend.moveToActive(token) as [JobJson | undefined, string, number, number]
      if (!json) return { due }
      const claim = toClaim(id, json, token)
      if (keepsId(json)) idKept.add(claim)
      return { claim }
    }))
    await orphanTaken?.catch(() => undefined)
    const failed = results.find((result) => result.status === "rejected")
    const received = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : [])
    const leased = received.flatMap(({ claim }) => claim ?? [])
    const orphans = leased.filter((claim) => claim.orphan)
    // If the server is away, too, their leases expire.
    const left = new Set(orphan ? orphans.slice(1) : orphans)
    await Promise.allSettled(Array.from(left, (claim) => scripts.setAside(leaseOf(claim))))
    const claims = leased.filter((claim) => !left.has(claim))
    // The jobs that were received are leased: an error of another command must not lose them.
    if (failed !== undefined && leased.length === 0) throw failed.reason
    return { claims, empty: leased.length < count, due: received.find(({ due }) => due !== undefined)?.due, failed }
  }

  const claim: JobQueue["claim"] = (limit, { orphan = true } = {}) =>
    Effect.gen(function*() {
      if (limit < 1) return []
      yield* wakeUp.reset
      const claims: Array<Claim> = []
      for (let count = 1; claims.length < limit; count *= claimGrowth) {
        const another = orphan && !claims.some(({ orphan }) => orphan)
        const some = yield* Effect.either(
          send("claim", () => claimSome(Math.min(count, limit - claims.length), another))
        )
        if (some._tag === "Left") {
          yield* wakeUp.notify
          return claims.length > 0 ? claims : yield* some.left
        }
        claims.push(...some.right.claims)
        if (some.right.failed !== undefined) break
        if (some.right.empty) {
          const { due } = some.right
          const now = yield* Clock.currentTimeMillis
          yield* wakeUp.setDue(due ? due - now : undefined)
          return claims
        }
      }
      yield* wakeUp.notify
      return claims
    }).pipe(Effect.uninterruptible)

  const find = async (id: string): Promise<StoredJob | undefined> => {
    const jobId = encodeId(id)
    const [json, failed, active] = await Promise.all([
      backend.getJobData(jobId),
      redis.zscore(backend.toKey("failed"), jobId),
      redis.lpos(backend.toKey("active"), jobId)
    ])
    if (json === undefined) return undefined
    const job = toJob(jobId, json)
    if (failed !== null) return { ...job, state: "Dead", attempt: job.attempt - 1 }
    if (json.finishedOn !== undefined) return undefined
    return { ...job, state: active === null ? "Waiting" : "Running" }
  }

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

  const settle = (claim: Claim, how: Settlement): Effect.Effect<void, LeaseLost | JobSourceError> =>
    Effect.gen(function*() {
      const { id, token } = leaseOf(claim)
      if (how._tag === "Ack") {
        const remove = !idKept.has(claim)
        return yield* sendFenced(
          claim,
          "transact",
          () => backend.moveToCompleted(finished(id), null, remove, token, false)
        )
      }
      const written = yield* send("transact", () => scripts.setProgress({ id, token }, encodeCursor(how.cursor)))
      if (!written) return yield* leaseLost(claim)
      if (!how.handBack) return
      if ((yield* handBack([claim])).length > 0) return yield* leaseLost(claim)
      yield* wake
    })

  return {
    offer: (payloads, options = {}) =>
      Effect.gen(function*() {
        if (payloads.length === 0) return []
        const { delay = Duration.zero, ids } = options
        const cause = ids === undefined ? undefined : idsFault(payloads.length, ids)
        if (cause !== undefined) return yield* new JobSourceError({ operation: "offer", queue: name, cause })
        const now = yield* Clock.currentTimeMillis
        const jobIds = ids ?? payloads.map(() => makeId(now))
        const opts = jobOptions(Math.ceil(Duration.toMillis(delay)), keepIdForMillis(options))
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
    claim,

    // The writes belong to another system: the lease is checked before them, and the job settled after them.
    transact: (claim, writes, how) =>
      Effect.gen(function*() {
        const writesNothing = (writes as unknown) === Effect.void
        if (!writesNothing && !(yield* send("transact", () => renewOne(claim)))) return yield* leaseLost(claim)
        const value = yield* writes
        yield* settleAfterWrites(settle(claim, how))
        return value
      }),

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

    deadLetter: (claim, error) => {
      const { id, token } = leaseOf(claim)
      return sendFenced(claim, "deadLetter", () => backend.moveToFailed(finished(id), error, false, token, false))
    },

    handBack: (claims) => claims.length === 0 ? noClaims : Effect.zipLeft(handBack(claims), wake),

    renew: (claims) =>
      claims.length === 0 ? noClaims : Effect.map(
        send("renew", () => scripts.renew(claims.map(leaseOf), lease)),
        (lost) => lost.map((index): Claim => claims[index]!)
      ),

    size: Effect.map(
      send("size", async () => [
        ...await backend.getCounts(["wait", "delayed", "prioritized"]),
        await scripts.countOrphans()
      ]),
      (counts) => counts.reduce((sum, count) => sum + count, 0)
    ),

    find: (id) => Effect.map(send("find", () => find(id)), Option.fromNullable),

    deadLetters: deadLetters({ backend, redis, scripts, send, wake })
  }
}
