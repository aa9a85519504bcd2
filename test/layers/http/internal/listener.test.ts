import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Net from "node:net"
import { stopListening } from "../../../../src/layers/http/internal/listener.js"

/** A server that sends `hello` on each connection it accepts. */
const helloServer = Effect.acquireRelease(
  Effect.async<Net.Server>((resume) => {
    const server = Net.createServer((socket) => socket.on("error", () => undefined).end("hello"))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
)

/** Connects, and resolves with everything received; nothing if the connection was reset. */
const receive = (port: number) =>
  new Promise<string>((resolve) => {
    let text = ""
    Net.connect({ port, host: "127.0.0.1" })
      .on("error", () => undefined)
      .on("data", (chunk) => (text += chunk.toString()))
      .on("close", () => resolve(text))
  })

const blockEventLoop = (ms: number) => {
  for (const until = performance.now() + ms; performance.now() < until;);
}

describe("stopListening", () => {
  it.scopedLive("accepts connections that arrived while the event loop was blocked, and refuses later ones", () =>
    Effect.gen(function*() {
      const server = yield* helloServer
      const { port } = server.address() as Net.AddressInfo
      const stopping = yield* Effect.fork(stopListening(server))
      yield* Effect.yieldNow()
      const received = yield* Effect.promise(() =>
        new Promise<ReadonlyArray<string>>((resolve) =>
          setImmediate(() => {
            const clients = Promise.all(Array.from({ length: 8 }, () => receive(port)))
            setImmediate(() => blockEventLoop(200))
            resolve(clients)
          })
        )
      )
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(received, Array.from({ length: 8 }, () => "hello"))
      assert.strictEqual(yield* Effect.promise(() => receive(port)), "")
    }))

  it.scopedLive("completes within a few iterations of an event loop that is always busy", () =>
    Effect.gen(function*() {
      const server = yield* helloServer
      let iterations = 0
      let busy: NodeJS.Immediate
      const work = () => {
        blockEventLoop(5)
        iterations++
        busy = setImmediate(work)
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => clearImmediate(busy)))
      work()
      yield* stopListening(server)
      assert.isBelow(iterations, 10)
    }))
})
