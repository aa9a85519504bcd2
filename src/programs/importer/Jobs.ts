/**
 * Who says which process loads what: the database itself, or Redis.
 */
import { Config, ConfigError, Either, Layer, Option, Redacted } from "effect"
import * as JobSourceOutbox from "../../layers/jobs/outbox/JobSourceOutbox.js"
import * as JobSourceRedis from "../../layers/jobs/redis/JobSourceRedis.js"
import * as JobSourceSql from "../../layers/jobs/sql/JobSourceSql.js"

/** The value may hold a password, and is not repeated. */
export const jobsUrl = Config.option(
  Config.string("JOBS_URL").pipe(Config.mapOrFail((url) =>
    /^rediss?:\/\//i.test(url.trim())
      ? Either.right(Redacted.make(url))
      : Either.left(ConfigError.InvalidData([], "Expected redis://user:password@host:port, or rediss:// for TLS"))
  ))
)

const redis = (url: Redacted.Redacted) =>
  Layer.mapError(
    JobSourceRedis.layer({ url }),
    (error) =>
      error.reason === "InvalidUrl"
        ? new JobSourceRedis.RedisError({ ...error, message: `JOBS_URL: ${error.message}` })
        : error
  )

/** The queue in Redis, or by default in the database. Imports are exactly once with either. */
export const Jobs = (url: Option.Option<Redacted.Redacted>) =>
  Option.match(url, {
    onNone: () => JobSourceSql.layer(),
    onSome: (url) => JobSourceOutbox.layer().pipe(Layer.provide(redis(url)))
  })
