import { HttpRouter, HttpServer as Platform, HttpServerResponse } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createServer, ServerResponse } from "node:http"
import { Socket } from "node:net"
import { queryObjects } from "node:v8"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { Connection, Exchange } from "../../../src/layers/http/internal/connection.js"
import { type Client, connect, get } from "../../fixtures/http/client.js"
import { free, gist, started } from "../../fixtures/http/serving.js"

const connections = 10
const batch = 20
const long = process.env["LASTCALL_LONG"] !== undefined
const rounds = long ? 500 : 5
const total = connections * batch * rounds

/** Sends a batch of pipelined requests, and waits for their answers. */
const ask = ({ socket }: Client) =>
  Effect.async<void>((resume) => {
    let text = ""
    const count = (chunk: Buffer) => {
      text += chunk.toString("latin1")
      if (text.split("hello").length > batch) resume(Effect.sync(() => socket.off("data", count)))
    }
    socket.on("data", count)
    socket.write(get("/").repeat(batch))
  })

it.scopedLive(`of ${total} requests nothing is left but their connections`, () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.withFiberRuntime<object>((fiber) => Effect.succeed(fiber))
    const kinds = { fiber: fiber.constructor, Socket, Connection, Exchange, ServerResponse }
    // Each question is a collection, and takes a while.
    const alive = () =>
      Object.entries(kinds).map(([name, kind]) =>
        [name, long ? queryObjects(kind as new() => object, { format: "count" }) : 0] as const
      )
    const router = HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.text("hello")), Effect.orDie)
    // Kept for as long as the questions take.
    const create = () => createServer({ keepAliveTimeout: 0 })
    const server = yield* started(
      Platform.serve(router).pipe(Layer.provideMerge(Layer.orDie(HttpServer.layer(create, free))))
    )
    const clients = yield* Effect.replicateEffect(connect(server.port), connections)
    const asked = (times: number) =>
      Effect.forEach(clients, (client) => Effect.repeatN(ask(client), times - 1), { concurrency: "unbounded" })
    yield* asked(1)
    const before = alive()
    yield* asked(rounds)
    // Whoever has an answer may be ahead of the server's last words on it: one exchange of each connection.
    const left = alive().filter(([, count], index) => count > before[index]![1] + connections)
    assert.deepStrictEqual(left, [])
    const { resources } = yield* server.lifecycle.snapshot
    const progress = resources.find(({ name }) => name === "http")!.progress()
    assert.deepStrictEqual([progress.finished, progress.inFlight, progress.cut], [total + connections * batch, 0, 0])
    assert.deepStrictEqual(gist(yield* (yield* server.stop)), { outcome: "Drained", finished: 0, cut: 0 })
  }))
