import { HttpRouter, HttpServerResponse } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createServer, ServerResponse } from "node:http"
import { Socket } from "node:net"
import { queryObjects } from "node:v8"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { Connection, Exchange } from "../../../src/layers/http/internal/connection.js"
import { type Client, connect, get } from "../../fixtures/http/client.js"
import { anyPort, start, summarize } from "../../fixtures/http/serving.js"

const connections = 10
const batch = 20
const rounds = process.env["LASTCALL_LONG"] === undefined ? 5 : 500
const total = connections * batch * rounds

/** Sends a batch of pipelined requests, and waits for their responses. */
const sendBatch = ({ socket }: Client) =>
  Effect.async<void>((resume) => {
    let text = ""
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1")
      if (text.split("hello").length > batch) resume(Effect.sync(() => socket.off("data", onData)))
    }
    socket.on("data", onData)
    socket.write(get("/").repeat(batch))
  })

it.scopedLive(`${total} requests leave nothing in memory but their connections`, () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.withFiberRuntime<object>((fiber) => Effect.succeed(fiber))
    const classes = { fiber: fiber.constructor, Socket, Connection, Exchange, ServerResponse }
    // Each count is a full garbage collection.
    const countInstances = () =>
      Object.entries(classes).map(([name, constructor]) =>
        [name, queryObjects(constructor as new() => object, { format: "count" })] as const
      )
    const router = HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.text("hello")), Effect.orDie)
    // Connections stay open for as long as the counts take.
    const create = () => createServer({ keepAliveTimeout: 0 })
    const server = yield* start(
      HttpServer.serve(router).pipe(Layer.provideMerge(Layer.orDie(HttpServer.layer(create, anyPort))))
    )
    const clients = yield* Effect.replicateEffect(connect(server.port), connections)
    const sendBatches = (times: number) =>
      Effect.forEach(clients, (client) => Effect.repeatN(sendBatch(client), times - 1), { concurrency: "unbounded" })
    yield* sendBatches(1)
    const before = countInstances()
    yield* sendBatches(rounds)
    // A client may get a response before the server completes the exchange: one for each connection.
    const grown = countInstances().filter(([, count], index) => count > before[index]![1] + connections)
    assert.deepStrictEqual(grown, [])
    const { resources } = yield* server.lifecycle.snapshot
    const progress = resources.find(({ name }) => name === "http")!.progress()
    assert.deepStrictEqual([progress.finished, progress.inFlight, progress.cut], [total + connections * batch, 0, 0])
    assert.deepStrictEqual(summarize(yield* (yield* server.beginDrain)), { outcome: "Drained", finished: 0, cut: 0 })
  }))
