/**
 * The whole service. What it is made of is released in reverse: first the requests, then the workers, then the database.
 */
import { Config, ConfigError, Effect, Either, Layer, Option, type Redacted } from "effect"
import { createServer } from "node:http"
import * as Database from "../../layers/database/Database.js"
import * as HttpServer from "../../layers/http/HttpServer.js"
import { Http } from "./Http.js"
import { Jobs, jobsUrl } from "./Jobs.js"
import { workers } from "./load.js"
import { Logging } from "./Logging.js"
import { migrations } from "./Migrations.js"
import { DeadLetters } from "./store/DeadLetters.js"
import { Imports } from "./store/Imports.js"
import { Loads } from "./store/Loads.js"
import { Uploads } from "./store/Uploads.js"
import { Sweeper } from "./Sweeper.js"

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

/** What the environment says, checked before anything is opened. */
const settings = Config.all({
  /** 0 takes any free port. */
  port: Config.withDefault(integer("PORT", 0, 65535), 3000),
  /** Only this machine, unless said otherwise. */
  host: Config.withDefault(host, "127.0.0.1"),
  /** Imports that are loaded at a time, by this process. */
  workers: Config.withDefault(integer("WORKERS", 1, 64), 4),
  jobs: jobsUrl
})

/** Everything but the server and the database, which tests put in. */
export const Service = (concurrency: number, jobs = Option.none<Redacted.Redacted>()) =>
  Layer.merge(Http, Sweeper).pipe(
    Layer.provide([Imports.Default, Uploads.Default, DeadLetters.Default]),
    Layer.provide(workers(concurrency)),
    Layer.provide(Loads.Default),
    Layer.provide(Jobs(jobs)),
    Layer.provide(Database.migrations(migrations))
  )

/** What is wrong with the URL is said of the variable that holds it; the value may hold a password, and is not repeated. */
const database = Layer.mapError(
  Database.layerFromEnv,
  (error) =>
    error._tag === "DatabaseError" && error.reason === "InvalidUrl"
      ? new Database.DatabaseError({ ...error, message: `DATABASE_URL: ${error.message}` })
      : error
)

/** The server comes first: it answers probes while the database opens, and a port in use is known before that. */
export const App = Layer.unwrapEffect(
  Effect.map(settings, ({ host, jobs, port, workers }) =>
    Service(workers, jobs).pipe(
      Layer.provide(database),
      Layer.provide(HttpServer.layer(createServer, { host, port }))
    ))
).pipe(Layer.provide(Logging))
