import { Duration, Effect, type Scope } from "effect"
import type { Redis, RedisOptions } from "ioredis"
import { errorMessage } from "../../../../core/internal/errorMessage.js"
import { RedisError, type Target } from "./url.js"

/** A connection that reconnects until its scope closes. */
export interface Connection {
  readonly redis: Redis
  /** Why commands would fail now; `undefined` while the connection is up. The message is for people. */
  readonly awayError: () => Error | undefined
  /** The error to report for one of a command: that of the server, or that the server is away. */
  readonly explain: (error: unknown) => unknown
}

/** Errors of the driver about its own settings (no queueing, no retries), which say nothing about the server. */
const isDriverError = ({ message }: Error) =>
  /enableOfflineQueue|max retries per request|Connection is closed/.test(message)

/** The driver's timeouts cannot tell a silent server from a process that did not run meanwhile. */
const isTimeout = (reason: string) => /ETIMEDOUT|Socket timeout/.test(reason)

/** Sleeps in ten slices. A process that is suspended meanwhile loses one of them, not the whole time. */
const sleepInSlices = (duration: Duration.Duration) => Effect.repeatN(Effect.sleep(Duration.times(duration, 0.1)), 9)

const ready = (redis: Redis) =>
  Effect.async<void>((resume) => {
    const listener = () => resume(Effect.void)
    redis.once("ready", listener)
    return Effect.sync(() => redis.off("ready", listener))
  })

/** Milliseconds before a reconnection: from 50 to a second, without end. */
const reconnectDelay = (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000)

/**
 * Connects, and fails when that takes longer than `connectTimeout`. After the first connect an outage fails only the
 * commands issued during it. Commands are not queued until the server returns, and never sent twice, because the outcome of the
 * first sending is unknown.
 */
export const connect = (options: {
  readonly Redis: typeof Redis
  readonly target: Target
  readonly connectTimeout: Duration.Duration
  /** A server that takes longer to respond is away, and the connection is made anew. None for subscribers. */
  readonly responseTimeout: Duration.Duration | undefined
  /** Runs whenever the connection is up again, the first time included. */
  readonly onReady?: (redis: Redis) => void
}): Effect.Effect<Connection, RedisError, Scope.Scope> =>
  Effect.gen(function*() {
    const { connectTimeout, onReady, Redis, responseTimeout, target } = options
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
      retryStrategy: reconnectDelay,
      ...username === undefined ? {} : { username },
      ...password === undefined ? {} : { password },
      ...responseTimeout === undefined ? {} : { socketTimeout: Duration.toMillis(responseTimeout) },
      ...tls ? { tls: {} } : {}
    }
    let reason = "it does not answer"
    const redis = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const redis = new Redis(settings)
        // Every queue adds listeners.
        redis.setMaxListeners(0)
        redis.on("error", (error) => {
          if (!isDriverError(error)) reason = error.message
        })
        redis.on("ready", () => onReady?.(redis))
        return redis
      }),
      // Commands are bounded, so there is none in flight to wait for.
      (redis) => Effect.sync(() => redis.disconnect())
    )
    const unreachable = Effect.suspend(() =>
      new RedisError({ reason: "Unreachable", message: `${label} cannot be reached: ${reason}` })
    )
    // The driver selects it too, and uses database 0 when the server refuses.
    const select = db === 0 ? Effect.void : Effect.tryPromise({
      try: () => redis.select(db),
      catch: (error) =>
        new RedisError({ reason: "Unreachable", message: `${label} cannot be used: ${errorMessage(error)}` })
    })
    yield* Effect.tryPromise(() => redis.connect()).pipe(
      // The driver goes on trying.
      Effect.catchAll(() => isTimeout(reason) ? ready(redis) : unreachable),
      Effect.zipRight(select),
      Effect.raceFirst(Effect.zipRight(sleepInSlices(connectTimeout), unreachable))
    )
    const away = () => new Error(`${label} is away: ${reason}`)
    return {
      redis,
      awayError: () => redis.status === "ready" ? undefined : away(),
      explain: (error) => redis.status !== "ready" || error instanceof Error && isDriverError(error) ? away() : error
    }
  })
