// The layer graph. It is the shutdown plan too: what depends on something ends before it.
import { Config, Layer } from "effect"
import { Database, HttpServer, JobSourceSql } from "lastcall"
import { createServer } from "node:http"
import { Migrations, Orders } from "./orders.js"
import { routes } from "./routes.js"
import { Cleanup, Workers } from "./work.js"

/** The requests, the workers and the schedule, over any server, store and queue. */
export const Service = Layer.merge(
  HttpServer.serve(routes),
  Cleanup
).pipe(Layer.provide(Workers))

const Server = HttpServer.withLogAddress(
  HttpServer.layerConfig(createServer, {
    port: Config.withDefault(Config.integer("PORT"), 3000),
    host: Config.withDefault(Config.string("HOST"), "127.0.0.1"),
    drainTimeout: Config.succeed("8 seconds")
  })
)

/** DATABASE_URL names a PostgreSQL server. Without it an embedded one keeps its files in ./data. */
export const App = Service.pipe(
  Layer.provide(Orders.Default),
  Layer.provide(JobSourceSql.layer()),
  Layer.provide(Migrations),
  Layer.provide(Database.layerFromEnv),
  Layer.provide(Server)
)
