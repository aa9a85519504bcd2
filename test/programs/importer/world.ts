import { HttpServer as Platform } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { Context, Duration, Effect, Exit, Layer, Logger, Redacted, Scope } from "effect"
import * as Net from "node:net"
import { afterAll, beforeAll, describe } from "vitest"
import { Shutdown } from "../../../src/core/Shutdown.js"
import * as Database from "../../../src/layers/database/Database.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { Service } from "../../../src/programs/importer/App.js"
import { PageFolder } from "../../../src/programs/importer/Page.js"
import { RequestLimits } from "../../../src/programs/importer/withDatabaseTimeout.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgres } from "../../kit/postgres.js"
import { page } from "../../kit/programs.js"
import { eventually } from "../../kit/until.js"

export interface Options {
  readonly workers?: number
  readonly bodyBytes?: number
  readonly databaseTimeout?: Duration.DurationInput
  /** The shutdown that the service sees; by default it is never requested. */
  readonly shutdown?: Context.Tag.Service<Shutdown>
}

/** The service in this process, on a free port. */
export interface World {
  readonly sql: SqlClient.SqlClient
  readonly port: number
  readonly url: string
  /** Stops the service as a signal would; the database stays open for the next one. */
  readonly stop: Effect.Effect<void>
}

/** Starts the service over an open database, until the scope closes. */
export const start = (
  database: Context.Context<Database.Database | SqlClient.SqlClient>,
  { bodyBytes = 1_000_000, databaseTimeout = "10 seconds", shutdown, workers = 2 }: Options = {}
): Effect.Effect<World, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const stop = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => stop)
    const services = yield* Layer.buildWithScope(
      Service(workers).pipe(
        Layer.provideMerge(HttpServer.layerTest),
        Layer.provide(Layer.succeed(RequestLimits, { bodyBytes, databaseTimeout: Duration.decode(databaseTimeout) })),
        Layer.provide(Layer.sync(PageFolder, page)),
        Layer.provide(Layer.succeedContext(database)),
        Layer.provide(Logger.remove(Logger.defaultLogger)),
        Layer.provide(shutdown === undefined ? Layer.empty : Layer.succeed(Shutdown, shutdown))
      ),
      scope
    )
    const { address } = Context.get(services, Platform.HttpServer)
    if (address._tag !== "TcpAddress") return yield* Effect.dieMessage("no port")
    return {
      sql: Context.get(database, SqlClient.SqlClient),
      port: address.port,
      url: `http://127.0.0.1:${address.port}`,
      stop
    }
  })

export const openDatabase = (url: string) => Layer.build(Database.layer({ url: Redacted.make(url) }))

/** Runs the tests over PGlite and, if wanted, over PostgreSQL, with one service and one database for all tests. */
export const describeService = (
  name: string,
  options: { readonly overPostgres: boolean },
  body: (world: () => World) => void
): void => {
  const over = (url: () => Promise<string>) => {
    const scope = Effect.runSync(Scope.make())
    let world: World
    beforeAll(async () => {
      const database = openDatabase(await url())
      world = await Effect.runPromise(Scope.extend(Effect.flatMap(database, (_) => start(_)), scope))
    })
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
    body(() => world)
  }
  describe(`${name} over PGlite`, () => over(async () => `pglite:${await databaseFolder()}`))
  if (options.overPostgres) {
    describePostgres(`${name} over PostgreSQL`, (postgres) => over(() => Promise.resolve(postgres.url)))
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

const decoded = async (response: Response): Promise<Answer> => {
  const text = await response.text()
  const json = response.headers.get("content-type")?.startsWith("application/json") === true
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text }
}

export const request = (world: World, path: string, init?: RequestInit): Effect.Effect<Answer> =>
  Effect.promise((signal) => fetch(world.url + path, { signal, ...init }).then(decoded))

export const post = (
  world: World,
  body: RequestInit["body"],
  { headers, path = "/imports", type = "text/csv" }: {
    readonly path?: string
    readonly type?: string
    readonly headers?: Record<string, string>
  } = {}
): Effect.Effect<Answer> =>
  request(world, path, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    ...(body === undefined ? {} : { body, duplex: "half" })
  })

/** The import in its final status, with which its events end. */
export const ended = (world: World, id: string): Effect.Effect<any> =>
  Effect.gen(function*() {
    const { body } = yield* request(world, `/imports/${id}/events`)
    return JSON.parse(/data: (.*)\n\n$/.exec(body.replaceAll(": keep-alive\n\n", ""))![1]!)
  })

/** Spends the attempts of so many imports that fail at once: by the schedule it takes minutes. */
export const spendAttempts = ({ sql }: World, imports: number) => {
  const spend = sql<{ id: string }>`
    UPDATE lastcall_jobs SET attempt = 100, due_at = now() WHERE state = 'waiting' AND attempt > 1 RETURNING id`
  const spent = new Set<string>()
  return eventually(
    `${imports} imports have spent their attempts`,
    spend,
    (rows) => rows.every(({ id }) => spent.add(id)) && spent.size === imports
  )
}

/** Uploads a file, and waits for the final status of the import. */
export const load = (world: World, body: RequestInit["body"], options?: Parameters<typeof post>[2]) =>
  Effect.gen(function*() {
    const answer = yield* post(world, body, options)
    if (answer.status !== 202) return yield* Effect.dieMessage(JSON.stringify(answer.body))
    return yield* ended(world, answer.body.id)
  })

/** A raw connection to the service. */
export const connect = (world: World) =>
  Effect.acquireRelease(
    Effect.async<Net.Socket>((resume) => {
      const socket = Net.connect(world.port, "127.0.0.1", () => resume(Effect.succeed(socket)))
      socket.on("error", () => undefined)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The bytes of the server until they match. */
export const hear = (socket: Net.Socket, pattern: RegExp): Effect.Effect<string> =>
  Effect.async((resume) => {
    let heard = ""
    socket.on("data", (bytes) => {
      heard += bytes.toString()
      if (pattern.test(heard)) resume(Effect.succeed(heard))
    })
    socket.on("close", () => resume(Effect.succeed(heard)))
  })

/** The head of an upload, whose body follows later or never. */
export const head = (headers: Record<string, string> = {}) =>
  `POST /imports HTTP/1.1\r\nHost: test\r\nContent-Type: text/csv\r\n${
    Object.entries({ "Transfer-Encoding": "chunked", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join(
      ""
    )
  }\r\n`

export const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`

/** A CSV file with this many rows. */
export const many = (rows: number) =>
  `n,text\n${Array.from({ length: rows }, (_, i) => `${i + 1},row ${i + 1}\n`).join("")}`

/** How many rows a table has. */
export const count = (world: World, table: string, where = "true") =>
  Effect.map(
    world.sql.unsafe<{ readonly n: number }>(`SELECT count(*)::int AS n FROM ${table} WHERE ${where}`),
    ([row]) => row!.n
  )
