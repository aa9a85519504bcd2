import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createServer } from "node:http"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { exchangeOf } from "../../../src/layers/http/internal/http1.js"
import { type Client, connect, get } from "../../fixtures/http/client.js"
import { anyPort, start, summarize } from "../../fixtures/http/serving.js"
import { long } from "../../kit/long.js"

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
