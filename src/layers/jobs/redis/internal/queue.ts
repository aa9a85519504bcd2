import type { JobJson, RedisQueueBackend } from "bullmq"
import { Clock, Duration, Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import { idsFault } from "../../internal/jobIds.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import { type Claim, type JobQueue, JobSourceError, LeaseLost, type StoredJob } from "../../JobSource.js"
import { asking, codeOf } from "./asking.js"
import type { Connection } from "./connect.js"
import { encodeId } from "./ids.js"
import { letters } from "./letters.js"
import { scriptsOf } from "./scripts.js"
import { encodeCursor, encodePayload, toClaim, toJob } from "./stored.js"

type Finished = Parameters<RedisQueueBackend["moveToCompleted"]>[0]

/** What BullMQ wants to know of a job that is done with. */
const finished = (id: string) => ({ id, opts: { attempts: 1 } }) as unknown as Finished

const none = Effect.succeed<ReadonlyArray<Claim>>([])

/** Claims that are asked for at a time: few when there may be none. */
const growth = 4

export const make = (options: {
  readonly name: string
  /** The same in keys. */
  readonly key: string
  readonly prefix: string
  readonly backend: RedisQueueBackend
  readonly connection: Connection
  readonly lease: Duration.Duration
  readonly wakeUp: WakeUp
  readonly makeId: (now: number) => string
  /** Says to everybody who waits for this queue that there may be something. */
  readonly wake: Effect.Effect<void>
}): JobQueue => {
  const { backend, connection, key, makeId, name, prefix, wake, wakeUp } = options
  const { redis } = connection
  const lease = Math.ceil(Duration.toMillis(options.lease))
  const scripts = scriptsOf(redis, (type) => backend.toKey(type))
  const leaseOf = ({ id, token }: Claim) => ({ id: encodeId(id), token })
  const take = async (claim: Claim) => (await scripts.renew([leaseOf(claim)], lease)).length === 0
  const { ask, fenced } = asking(name, connection, take)
  const lost = ({ id }: Claim) => new LeaseLost({ queue: name, id })

  /** Up to `count` jobs at once, and when the next one is due, if that is known. */
  const claimSome = async (count: number) => {
    const answers = await Promise.allSettled(Array.from({ length: count }, async () => {
      const token = randomUUID()
      const [json, id, , due] = await backend.moveToActive(token) as [JobJson | undefined, string, number, number]
      return json ? { claim: toClaim(id, json, token) } : { due }
    }))
    const failed = answers.find((answer) => answer.status === "rejected")
    const given = answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : [])
    const claims = given.flatMap(({ claim }) => claim ?? [])
    // What we were given is ours, whatever else goes wrong.
    if (failed !== undefined && claims.length === 0) throw failed.reason
    return { claims, none: claims.length < count, due: given.find(({ due }) => due !== undefined)?.due, failed }
  }

  const claim = (limit: number) =>
    Effect.gen(function*() {
      if (limit < 1) return []
      yield* wakeUp.reset
      const claims: Array<Claim> = []
      for (let count = 1; claims.length < limit; count *= growth) {
        const some = yield* Effect.either(
          ask("claim", () => claimSome(Math.min(count, limit - claims.length)))
        )
        if (some._tag === "Left") {
          yield* wakeUp.notify
          return claims.length > 0 ? claims : yield* some.left
        }
        claims.push(...some.right.claims)
        if (some.right.failed !== undefined) break
        if (some.right.none) {
          const { due } = some.right
          const now = yield* Clock.currentTimeMillis
          yield* wakeUp.setDue(due ? due - now : undefined)
          return claims
        }
      }
      yield* wakeUp.notify
      return claims
    }).pipe(Effect.uninterruptible)

  const held = async (id: string): Promise<StoredJob | undefined> => {
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

  /** Gives back, and returns those that were not ours to give. The last one first: each goes to the head of the line. */
  const handBack = (claims: ReadonlyArray<Claim>) =>
    ask("handBack", async () => {
      const given = await Promise.all(
        [...claims].reverse().map(async (claim) => {
          const { id, token } = leaseOf(claim)
          try {
            await backend.moveJobFromActiveToWait(id, token)
            return []
          } catch (error) {
            if (codeOf(error) === undefined) throw error
            return [claim]
          }
        })
      )
      return given.flat().reverse()
    })

  return {
    offer: (payloads, { delay = Duration.zero, ids } = {}) =>
      Effect.gen(function*() {
        if (payloads.length === 0) return []
        const cause = ids === undefined ? undefined : idsFault(payloads.length, ids)
        if (cause !== undefined) return yield* new JobSourceError({ operation: "offer", queue: name, cause })
        const now = yield* Clock.currentTimeMillis
        const given = ids ?? payloads.map(() => makeId(now))
        const millis = Math.ceil(Duration.toMillis(delay))
        // One transaction, so all of them or none.
        yield* ask("offer", async () => {
          const entries = payloads.map((payload, n) => ({
            prefix,
            queueName: key,
            jobId: encodeId(given[n]!),
            parentKeyOpts: {},
            jobData: {
              name: "job",
              data: encodePayload(payload),
              opts: millis > 0 ? { delay: millis } : {},
              timestamp: now
            } as unknown as JobJson
          }))
          for (const [error] of await backend.addFlow(entries)) if (error !== null) throw error
        })
        yield* wake
        return given
      }),

    wait: wakeUp.wait,
    claim,

    // The writes are another system's: the lease is looked at before them, and settled after them.
    transact: (claim, writes, how) =>
      Effect.gen(function*() {
        const nothing = (writes as unknown) === Effect.void
        if (!nothing && !(yield* ask("transact", () => take(claim)))) return yield* lost(claim)
        const value = yield* writes
        const { id, token } = leaseOf(claim)
        if (how._tag === "Ack") {
          yield* fenced(claim, "transact", () => backend.moveToCompleted(finished(id), null, true, token, false))
          return value
        }
        const written = yield* ask("transact", () => scripts.progress({ id, token }, encodeCursor(how.cursor)))
        if (!written) return yield* lost(claim)
        if (!how.handBack) return value
        if ((yield* handBack([claim])).length > 0) return yield* lost(claim)
        yield* wake
        return value
      }),

    retry: (claim, { delay, error }) =>
      Effect.gen(function*() {
        const { id, token } = leaseOf(claim)
        const now = yield* Clock.currentTimeMillis
        const millis = Math.ceil(Duration.toMillis(delay))
        const fieldsToUpdate = { failedReason: error }
        yield* fenced(claim, "retry", () =>
          millis > 0
            ? backend.moveToDelayed(id, now, millis, token, { skipAttempt: false, fieldsToUpdate })
            : backend.retryJob(id, false, token, { fieldsToUpdate }))
        yield* wake
      }),

    deadLetter: (claim, error) => {
      const { id, token } = leaseOf(claim)
      return fenced(claim, "deadLetter", () => backend.moveToFailed(finished(id), error, false, token, false))
    },

    handBack: (claims) => claims.length === 0 ? none : Effect.zipLeft(handBack(claims), wake),

    renew: (claims) =>
      claims.length === 0 ? none : Effect.map(
        ask("renew", () => scripts.renew(claims.map(leaseOf), lease)),
        (gone) => gone.map((place): Claim => claims[place]!)
      ),

    size: Effect.map(
      ask("size", () => backend.getCounts(["wait", "delayed", "prioritized"])),
      (counts) => counts.reduce((sum, count) => sum + count, 0)
    ),

    find: (id) => Effect.map(ask("find", () => held(id)), Option.fromNullable),

    deadLetters: letters({ backend, redis, scripts, ask, wake })
  }
}
