import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Redacted, type Scope } from "effect"
import { createServer } from "node:http"
import * as Database from "../../src/layers/database/Database.js"
import * as HttpServer from "../../src/layers/http/HttpServer.js"
import { JobCarrier, type Service as JobCarrierService } from "../../src/layers/jobs/JobCarrier.js"
import type { JobSource } from "../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../src/layers/jobs/JobSourceMemory.js"
import * as JobCarrierRedis from "../../src/layers/jobs/redis/JobCarrierRedis.js"
import * as JobSourceRedis from "../../src/layers/jobs/redis/JobSourceRedis.js"
import * as JobSourceSql from "../../src/layers/jobs/sql/JobSourceSql.js"
import * as WorkerPool from "../../src/layers/jobs/WorkerPool.js"
import * as TestApp from "../../src/testing/TestApp.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

/** Options are read before any of these is used. */
const unused = Layer.mergeAll(
  Layer.succeed(Database.Database, {} as Database.Service),
  Layer.succeed(SqlClient.SqlClient, {} as SqlClient.SqlClient),
  Layer.succeed(JobCarrier, {} as JobCarrierService),
  JobSourceMemory.layer()
)

const url = Redacted.make("redis://127.0.0.1:1")

const duration = (positive: boolean, unlimited: boolean) =>
  ({
    refused: [NaN, -1, ...(positive ? [0] : []), ...(unlimited ? [] : [Infinity])],
    expected: `a ${unlimited ? "" : "finite "}duration ${positive ? "above zero" : "of zero or more"}`
  }) as const

const count = (least: number, unlimited: boolean) =>
  ({
    refused: [NaN, least - 1, least + 0.5, ...(unlimited ? [] : [Infinity])],
    expected: `an integer of at least ${least}${unlimited ? ", or infinite" : ""}`
  }) as const

type Opened = Effect.Effect<unknown, unknown, Scope.Scope>

const http = (options: object): Opened => HttpServer.make(createServer, { port: 0, ...options })
const build = (
  layer: Layer.Layer<never, unknown, Database.Database | SqlClient.SqlClient | JobSource | JobCarrier>
): Opened => Layer.build(Layer.provide(layer, unused))
const pool = (options: object) =>
  build(Layer.discard(Letters.layer({ concurrency: 1, process: () => Effect.void, ...options })))
const database = (options: object) =>
  build(Layer.discard(Database.layer({ url: Redacted.make("postgres://127.0.0.1:1/none"), ...options })))
const memory = (options: object) => build(Layer.discard(JobSourceMemory.layer(options)))
const sql = (options: object) => build(Layer.discard(JobSourceSql.layer(options)))
const redis = (options: object) => build(Layer.discard(JobSourceRedis.layer({ url, ...options })))
const carried = (options: object) => build(Layer.discard(JobSourceSql.layerCarried(options)))
const carrier = (options: object) => build(Layer.discard(JobCarrierRedis.layer({ url, ...options })))

const cases: ReadonlyArray<
  readonly [
    owner: string,
    open: (options: object) => Opened,
    options: Record<string, { readonly refused: ReadonlyArray<number>; readonly expected: string }>
  ]
> = [
  ["http", http, {
    drainTimeout: duration(false, false),
    releaseTimeout: duration(false, false),
    daemonTimeout: duration(false, false),
    idleLinger: duration(false, false),
    stallTimeout: duration(false, true),
    streamTimeout: duration(false, true),
    startTimeout: duration(false, false),
    maxHeld: count(0, true)
  }],
  ["letters", pool, {
    drainTimeout: duration(false, false),
    releaseTimeout: duration(false, false),
    daemonTimeout: duration(false, false),
    lease: duration(true, true),
    concurrency: count(1, false)
  }],
  ["database", database, {
    connectTimeout: duration(true, false),
    idleTransactionTimeout: duration(false, true),
    maxConnections: count(1, false)
  }],
  ["JobSourceMemory", memory, { lease: duration(true, true), capacity: count(1, true) }],
  ["JobSourceSql", sql, {
    lease: duration(true, false),
    expireEvery: duration(true, false),
    pollInterval: duration(true, false)
  }],
  ["JobSourceRedis", redis, {
    lease: duration(true, false),
    expireEvery: duration(true, false),
    pollInterval: duration(true, false),
    connectTimeout: duration(true, false)
  }],
  ["JobSourceSql", carried, { offerAgainAfter: duration(true, false) }],
  ["JobCarrierRedis", carrier, {
    redeliverAfter: duration(true, false),
    pollInterval: duration(true, false),
    connectTimeout: duration(true, false)
  }]
]

describe("the options of every layer", () => {
  for (const [owner, open, options] of cases) {
    for (const [option, { expected, refused }] of Object.entries(options)) {
      it.scoped(`${owner}: refuse a ${option} that makes no sense, by its name`, () =>
        Effect.forEach(refused, (value) =>
          Effect.gen(function*() {
            const exit = yield* Effect.exit(open({ [option]: value }))
            const message = Exit.isFailure(exit) ? (Cause.squash(exit.cause) as Error).message : "accepted"
            assert.strictEqual(message, `${owner}: ${option} is ${value}, and must be ${expected}`)
          })))
    }
  }

  it.scoped("a delay of an offered job that is infinite or NaN is refused by the name of the pool", () =>
    Effect.gen(function*() {
      const service = Context.get(
        yield* Layer.build(Letters.layer({ concurrency: 1, process: () => Effect.void }).pipe(Layer.provide(unused))),
        Letters
      )
      for (const delay of [NaN, Infinity]) {
        const exit = yield* Effect.exit(service.offer("a", { delay }))
        assert.strictEqual(
          Exit.isFailure(exit) ? (Cause.squash(exit.cause) as Error).message : "accepted",
          `letters: delay is ${delay}, and must be a finite duration of zero or more`
        )
      }
      // Due already.
      yield* service.offer("a", { delay: -1 })
    }))

  it.scoped("a server fails with a ServeError when its timeout can never be reached, before it listens", () =>
    Effect.gen(function*() {
      const server = HttpServer.layerServer(createServer, { port: 0, drainTimeout: "25 seconds" })
      const error = yield* Effect.flip(TestApp.start(server))
      assert.strictEqual(
        error.message,
        "cannot start: http: drainTimeout 25s can never be reached: gracePeriod 25s - preStopDelay 0ms - 2s kept back " +
          "for releases leaves 23s."
      )
    }))
})
