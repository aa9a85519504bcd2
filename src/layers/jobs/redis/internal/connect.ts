import { Duration, Effect, type Scope } from "effect"
import type { Redis, RedisOptions } from "ioredis"
import { RedisError, type Target } from "./url.js"

/** A connection that is made anew when it is lost, until the scope closes. */
export interface Connection {
  readonly redis: Redis
  /** Why nothing can be asked of it now; none while it is up. For people. */
  readonly away: () => Error | undefined
  /** What went wrong, for people: the server's own words, or that it is away. */
  readonly explain: (cause: unknown) => unknown
}

/** The driver's complaints that it may neither wait nor try again say nothing of the server. */
const ofDriver = ({ message }: Error) => /enableOfflineQueue|max retries per request|Connection is closed/.test(message)

/** The driver's timers cannot tell a server that is silent from a process that stood still. */
const ofTimer = (reason: string) => /ETIMEDOUT|Socket timeout/.test(reason)

/** A sleep in slices: of the time in which the process itself stands still, one of them is counted. */
const patiently = (duration: Duration.Duration) => Effect.repeatN(Effect.sleep(Duration.times(duration, 0.1)), 9)

const ready = (redis: Redis) =>
  Effect.async<void>((resume) => {
    const listener = () => resume(Effect.void)
    redis.once("ready", listener)
    return Effect.sync(() => redis.off("ready", listener))
  })

/** From 50 milliseconds to a second, for as long as it takes. */
const backoff = (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000)

/**
 * Connects, and fails when that takes longer than `connectTimeout`. Later outages are nobody's failure but of who asks
 * meanwhile: nothing waits in line for the server to return, and nothing is sent twice, for what became of the first
 * would never be known. `patience` is how long the server may take over an answer: one that accepts and is silent is
 * away, too.
 */
export const connect = (options: {
  readonly Redis: typeof Redis
  readonly target: Target
  readonly connectTimeout: Duration.Duration
  readonly patience: Duration.Duration | undefined
  /** Each time it is up. */
  readonly onReady?: (redis: Redis) => void
}): Effect.Effect<Connection, RedisError, Scope.Scope> =>
  Effect.gen(function*() {
    const { connectTimeout, onReady, patience, Redis, target } = options
    const { db, host, label, password, port, tls, username } = target
    const settings: RedisOptions = {
      host,
      port,
      db,
      connectionName: "lastcall",
      connectTimeout: Duration.toMillis(connectTimeout),
      keepAlive: 10_000,
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      retryStrategy: backoff,
      ...username === undefined ? {} : { username },
      ...password === undefined ? {} : { password },
      ...patience === undefined ? {} : { socketTimeout: Duration.toMillis(patience) },
      ...tls ? { tls: {} } : {}
    }
    let reason = "it does not answer"
    const redis = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const redis = new Redis(settings)
        // Each queue listens, too.
        redis.setMaxListeners(0)
        redis.on("error", (error) => {
          if (!ofDriver(error)) reason = error.message
        })
        redis.on("ready", () => onReady?.(redis))
        return redis
      }),
      // Whoever asks has an answer by now, so there is no good-bye that somebody would have to wait for.
      (redis) => Effect.sync(() => redis.disconnect())
    )
    const unreachable = Effect.suspend(() =>
      new RedisError({ reason: "Unreachable", message: `${label} cannot be reached: ${reason}` })
    )
    yield* Effect.tryPromise(() => redis.connect()).pipe(
      // It goes on trying by itself.
      Effect.catchAll(() => ofTimer(reason) ? ready(redis) : unreachable),
      Effect.raceFirst(Effect.zipRight(patiently(connectTimeout), unreachable))
    )
    const isAway = () => new Error(`${label} is away: ${reason}`)
    return {
      redis,
      away: () => redis.status === "ready" ? undefined : isAway(),
      explain: (cause) => redis.status !== "ready" || cause instanceof Error && ofDriver(cause) ? isAway() : cause
    }
  })
