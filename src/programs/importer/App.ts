/**
 * The service. Its parts are released in reverse: the requests and the records of Kafka first, then the workers, then the database.
 */
import { Config, ConfigError, Duration, Effect, Either, Layer, Logger, Option, Redacted } from "effect"
import { createServer } from "node:http"
import { Host } from "../../core/Host.js"
import * as Database from "../../layers/database/Database.js"
import * as HttpServer from "../../layers/http/HttpServer.js"
import * as JobCarrierRedis from "../../layers/jobs/redis/JobCarrierRedis.js"
import * as JobSourceSql from "../../layers/jobs/sql/JobSourceSql.js"
import { Http } from "./Http.js"
import { KafkaImports } from "./kafkaImports.js"
import { kafkaUrl } from "./kafkaUrl.js"
import { workers } from "./load.js"
import { migrations } from "./migrations.js"
import { OrphanCleanupLive } from "./orphanCleanup.js"
import { DeadLetters } from "./store/DeadLetters.js"
import { Imports } from "./store/Imports.js"
import { Loads } from "./store/Loads.js"
import { Uploads } from "./store/Uploads.js"

/** The error does not repeat the value, which may contain a password. */
const jobsUrl = Config.option(
  Config.string("JOBS_URL").pipe(Config.mapOrFail((url) =>
    /^rediss?:\/\//i.test(url.trim())
      ? Either.right(Redacted.make(url))
      : Either.left(ConfigError.InvalidData([], "Expected redis://user:password@host:port, or rediss:// for TLS"))
  ))
)

const redis = (url: Redacted.Redacted) =>
  Layer.mapError(
    JobCarrierRedis.layer({ url }),
    (error) =>
      error.reason === "InvalidUrl"
        ? new JobCarrierRedis.RedisError({ ...error, message: `JOBS_URL: ${error.message}` })
        : error
  )

/** The jobs are in the database. Redis distributes them, or by default the database does. With either, each row is imported exactly once. */
const Jobs = (url: Option.Option<Redacted.Redacted>) =>
  Option.match(url, {
    onNone: () => JobSourceSql.layer(),
    onSome: (url) => JobSourceSql.layerCarried().pipe(Layer.provide(redis(url)))
  })

/** Logs for reading on a terminal, structured lines elsewhere, which is what Effect logs without the logger of `runMain`. */
const Logging = Layer.unwrapEffect(
  Effect.map(Host, ({ terminal }) =>
    Option.match(terminal, {
      onNone: () => Layer.empty,
      onSome: ({ colors }) => Logger.replace(Logger.defaultLogger, Logger.prettyLogger({ colors }))
    }))
)

const integer = (name: string, from: number, to: number) =>
  Config.string(name).pipe(Config.mapOrFail((text) => {
    const number = /^\d+$/.test(text.trim()) ? Number(text) : NaN
    return number >= from && number <= to
      ? Either.right(number)
      : Either.left(ConfigError.InvalidData([], `Expected an integer from ${from} to ${to}, but received "${text}"`))
  }))

const host = Config.string("HOST").pipe(Config.mapOrFail((text) =>
  /^[\w.:-]+$/.test(text.trim())
    ? Either.right(text.trim())
    : Either.left(ConfigError.InvalidData([], `Expected a host name or an address, but received "${text}"`))
))

/** The settings of the environment, checked before anything is opened. */
const settings = Config.all({
  /** 0 binds any free port. */
  port: Config.withDefault(integer("PORT", 0, 65535), 3000),
  /** Accepts connections of this machine alone by default. */
  host: Config.withDefault(host, "127.0.0.1"),
  /** How many imports this process loads at a time. */
  workers: Config.withDefault(integer("WORKERS", 1, 64), 4),
  jobs: jobsUrl,
  /** `KafkaImports` reads it again. */
  kafka: kafkaUrl,
  /** An embedded one by default: the service starts without a server on a laptop. */
  database: Config.withDefault(Database.urlConfig("DATABASE_URL"), Redacted.make("pglite:./data"))
})

/** Everything but the server and the database, which tests provide. */
export const Service = (concurrency: number, jobs = Option.none<Redacted.Redacted>()) =>
  Layer.mergeAll(Http, KafkaImports).pipe(
    Layer.provide(OrphanCleanupLive),
    Layer.provide([Imports.Default, Uploads.Default, DeadLetters.Default]),
    Layer.provide(workers(concurrency)),
    Layer.provide(Loads.Default),
    Layer.provide(Jobs(jobs)),
    Layer.provide(Database.migrations(migrations))
  )

/** An error in the URL names the variable that holds it. */
const openDatabase = (url: Redacted.Redacted) =>
  Layer.mapError(Database.layer({ url }), (error) =>
    error._tag === "DatabaseError" && error.reason === "InvalidUrl"
      ? new Database.DatabaseError({ ...error, message: `DATABASE_URL: ${error.message}` })
      : error)

/** The streams of the page end by themselves, or follow the drain of the server to its end. */
const streamTimeout = Duration.infinity

/** The server is acquired first: it answers probes while the database opens, and a port in use is reported before that. */
export const App = Layer.unwrapEffect(
  Effect.map(settings, ({ database, host, jobs, port, workers }) =>
    Service(workers, jobs).pipe(
      Layer.provide(openDatabase(database)),
      Layer.provide(HttpServer.withLogAddress(HttpServer.layer(createServer, { host, port, streamTimeout })))
    ))
).pipe(Layer.provide(Logging))
