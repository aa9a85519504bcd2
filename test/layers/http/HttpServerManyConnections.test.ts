import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { createServer } from "node:http"
import type * as Net from "node:net"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { serve, summarize } from "../../fixtures/http/serving.js"

const count = 450

const app = Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => HttpServerResponse.text(url))

/** Idle connections stay open, however long it takes to open them. */
const createKeeping = () => createServer({ keepAliveTimeout: 0 })

/** Opens a connection that has had a response. */
const open = (port: number) =>
  Effect.tap(connect(port), (client) => Effect.zipRight(client.send(get("/first")), client.until(/\/first$/)))

// The request may cross the close of its own connection, which nothing can avoid: rarely, on a busy machine.
it.scopedLive(
  "a request that arrives while other connections of the same age are being closed gets its response",
  () =>
    Effect.gen(function*() {
      const server = yield* serve(app, {}, createKeeping)
      const first = yield* open(server.port)
      yield* Effect.replicateEffect(open(server.port), count, { concurrency: 50 })
      const last = yield* open(server.port)
      first.socket.once("end", () => last.socket.write(get("/late")))
      const drained = yield* server.beginDrain
      assert.deepStrictEqual(responses(yield* last.closed), ["200 keep-alive /first", "200 close /late"])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }),
  { retry: 2 }
)

it.scopedLive("a request that has arrived when its connection is about to be closed gets its response, and so does a part of one", () =>
  Effect.gen(function*() {
    const sockets: Array<Net.Socket> = []
    const create = () => createKeeping().on("connection", (socket) => sockets.push(socket))
    const server = yield* serve(app, { stallTimeout: "10 seconds" }, create)
    yield* open(server.port)
    const whole = yield* open(server.port)
    const part = yield* open(server.port)
    const destroy = sockets[0]!.destroy.bind(sockets[0])
    sockets[0]!.destroy = () => {
      // In the iteration of the event loop that closes all three: written now, read in the next one.
      whole.socket.write(get("/whole"))
      part.socket.write(get("/part").slice(0, 5))
      return destroy()
    }
    const drained = yield* server.beginDrain
    assert.deepStrictEqual(responses(yield* whole.closed), ["200 keep-alive /first", "200 close /whole"])
    part.socket.write(get("/part").slice(5))
    assert.deepStrictEqual(responses(yield* part.closed), ["200 keep-alive /first", "200 close /part"])
    assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
  }))

it.scopedLive("the event loop turns while many connections are cut", () =>
  Effect.gen(function*() {
    const sockets: Array<Net.Socket> = []
    let destroyedBefore = 0
    const create = () =>
      createKeeping().on("connection", (socket) => {
        sockets.push(socket)
        socket.once("close", () => {
          destroyedBefore ||= sockets.filter(({ destroyed }) => destroyed).length
        })
      })
    const server = yield* serve(app, { idleLinger: "15 seconds", drainTimeout: "50 millis" }, create)
    yield* Effect.replicateEffect(open(server.port), count, { concurrency: 50 })
    yield* Effect.flatten(server.beginDrain)
    assert.isTrue(sockets.every(({ destroyed }) => destroyed))
    assert.isBelow(destroyedBefore, count / 2)
  }))
