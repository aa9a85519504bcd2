import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Net from "node:net"
import { stopListening } from "../../../../src/layers/http/internal/stopListening.js"

/** A server that greets everybody it is given. */
const greeting = Effect.acquireRelease(
  Effect.async<Net.Server>((resume) => {
    const server = Net.createServer((socket) => socket.on("error", () => undefined).end("hello"))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
)

/** What a connection heard until it was closed: nothing when it was reset. */
const heard = (port: number) =>
  new Promise<string>((resolve) => {
    let text = ""
    Net.connect({ port, host: "127.0.0.1" })
      .on("error", () => undefined)
      .on("data", (chunk) => (text += chunk.toString()))
      .on("close", () => resolve(text))
  })

const standStill = (ms: number) => {
  for (const until = performance.now() + ms; performance.now() < until;);
}

describe("stopListening", () => {
  it.scopedLive("takes those that came while the process stood still, and refuses whoever comes after", () =>
    Effect.gen(function*() {
      const server = yield* greeting
      const { port } = server.address() as Net.AddressInfo
      const stopping = yield* Effect.fork(stopListening(server))
      yield* Effect.yieldNow()
      const all = yield* Effect.promise(() =>
        new Promise<ReadonlyArray<string>>((resolve) =>
          setImmediate(() => {
            const crowd = Promise.all(Array.from({ length: 8 }, () => heard(port)))
            setImmediate(() => standStill(200))
            resolve(crowd)
          })
        )
      )
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(all, Array.from({ length: 8 }, () => "hello"))
      assert.strictEqual(yield* Effect.promise(() => heard(port)), "")
    }))

  it.scopedLive("is not held up for long where every turn is a long one", () =>
    Effect.gen(function*() {
      const server = yield* greeting
      let turns = 0
      let busy: NodeJS.Immediate
      const work = () => {
        standStill(5)
        turns++
        busy = setImmediate(work)
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => clearImmediate(busy)))
      work()
      yield* stopListening(server)
      assert.isBelow(turns, 10)
    }))
})
