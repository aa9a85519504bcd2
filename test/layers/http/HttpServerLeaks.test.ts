import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createServer } from "node:http"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { exchangeOf } from "../../../src/layers/http/internal/http1.js"
import { type Client, connect, get } from "../../fixtures/http/client.js"
import { anyPort, start, summarize } from "../../fixtures/http/serving.js"
import { long } from "../../kit/long.js"
import { eventually } from "../../kit/until.js"

const connections = 10
const batch = 20
const rounds = long ? 500 : 5
const total = connections * batch * rounds

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

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

it.scopedLive(`${total} requests leave nothing in memory but the last one of each connection`, () =>
  Effect.gen(function*() {
    const kinds = ["fiber", "exchange", "request", "response"] as const
    const created: Array<ReadonlyArray<WeakRef<object>>> = []
    const app = Effect.withFiberRuntime<
      HttpServerResponse.HttpServerResponse,
      never,
      HttpServerRequest.HttpServerRequest
    >(
      (fiber) =>
        Effect.map(HttpServerRequest.HttpServerRequest, (platformRequest) => {
          const request = NodeHttpServerRequest.toIncomingMessage(platformRequest)
          const response = NodeHttpServerRequest.toServerResponse(platformRequest)
          created.push([fiber, exchangeOf(request)!, request, response].map((object) => new WeakRef(object)))
          return HttpServerResponse.text("hello")
        })
    )
    const router = HttpRouter.empty.pipe(HttpRouter.get("/", app), Effect.orDie)
    const create = () => createServer({ keepAliveTimeout: 0 })
    const server = yield* start(
      HttpServer.serve(router).pipe(Layer.provideMerge(Layer.orDie(HttpServer.layer(create, anyPort))))
    )
    const clients = yield* Effect.replicateEffect(connect(server.port), connections)
    yield* Effect.forEach(clients, (client) => Effect.repeatN(sendBatch(client), rounds - 1), {
      concurrency: "unbounded"
    })
    // The server completes an exchange after its client has the response.
    yield* Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
    collectGarbage()
    assert.strictEqual(created.length, total)
    const alive = kinds.map((kind, index) =>
      [kind, created.filter((references) => references[index]!.deref() !== undefined).length] as const
    )
    assert.deepStrictEqual(alive.filter(([, count]) => count > connections), [])
    const { resources } = yield* server.lifecycle.snapshot
    const { cut, finished, inFlight } = resources.find(({ name }) => name === "http")!.progress()
    assert.deepStrictEqual({ finished, inFlight, cut }, { finished: total, inFlight: 0, cut: 0 })
    assert.deepStrictEqual(summarize(yield* (yield* server.beginDrain)), { outcome: "Drained", finished: 0, cut: 0 })
  }))

/** The preface of HTTP/2, settings, and a stream that depends on itself. */
const invalid = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("000000040000000000", "hex"),
  Buffer.from("00000b01250000000100000001008286844101", "hex"),
  Buffer.from("78", "hex")
])

it.scopedLive("HTTP/2 connections whose clients break the protocol leave nothing in memory", () =>
  Effect.gen(function*() {
    const count = 50
    const sockets: Array<WeakRef<object>> = []
    const closed = yield* Effect.makeLatch(false)
    let open = count
    const create = () => {
      const server = Http2.createServer()
      return server.prependListener("connection", (socket: Net.Socket) => {
        sockets.push(new WeakRef(socket))
        socket.once("close", () => --open === 0 && closed.unsafeOpen())
      })
    }
    const server = yield* start(
      HttpServer.serve(HttpServerResponse.text("hello")).pipe(
        Layer.provideMerge(Layer.orDie(HttpServer.layer(create, anyPort)))
      )
    )
    for (let n = 0; n < count; n++) {
      const client = Net.connect({ port: server.port, host: "127.0.0.1" })
      client.on("error", () => {}).resume()
      client.once("connect", () => client.end(invalid))
    }
    yield* closed.await
    const kept = Effect.sync(() => {
      collectGarbage()
      return sockets.filter((socket) => socket.deref() !== undefined).length
    })
    // Node may keep the one that it used last.
    yield* eventually("all sockets but one are collected", kept, (kept) => kept <= 1, 10_000)
  }))
