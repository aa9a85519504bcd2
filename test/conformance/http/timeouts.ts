import { HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Queue } from "effect"
import { get, responses } from "../../fixtures/http/client.js"
import { summarize } from "../../fixtures/http/serving.js"
import type { ConnectionCase } from "./connectionCase.js"

const shortTimeouts = { drainTimeout: "100 millis", releaseTimeout: "200 millis" } as const

/** Exchanges that do not end by themselves. */
export const timeouts: ReadonlyArray<ConnectionCase> = [
  {
    situation: "a client that disconnects",
    behavior: "interrupts its handler, which is awaited before anything that it uses is released",
    test: (serve) =>
      Effect.gen(function*() {
        const started = yield* Effect.makeLatch()
        const interrupted = yield* Effect.makeLatch()
        const proceed = yield* Deferred.make<void>()
        const journal: Array<string> = []
        const server = yield* serve(
          Effect.zipRight(started.open, Effect.never).pipe(Effect.onInterrupt(() =>
            Effect.zipRight(interrupted.open, Deferred.await(proceed)).pipe(
              Effect.map(() => journal.push("rolled back"))
            )
          ))
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        yield* client.reset
        yield* interrupted.await
        const drained = yield* server.beginDrain
        yield* Deferred.succeed(proceed, void 0)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["rolled back"])
      })
  },
  {
    situation: "pipelined requests whose client disconnects",
    behavior: "have all of their handlers interrupted",
    test: (serve) =>
      Effect.gen(function*() {
        const started = yield* Queue.unbounded<void>()
        const ended = yield* Queue.unbounded<void>()
        const server = yield* serve(
          Effect.zipRight(started.offer(void 0), Effect.never).pipe(Effect.onInterrupt(() => ended.offer(void 0)))
        )
        const client = yield* server.connect
        yield* client.send(get("/1") + get("/2") + get("/3"))
        yield* Queue.takeN(started, 3)
        yield* client.reset
        yield* Queue.takeN(ended, 3)
      })
  },
  {
    situation: "a handler that does not end",
    behavior: "is interrupted after `drainTimeout` and awaited; its client gets a 503 with `Retry-After`",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const started = yield* Effect.makeLatch()
        const server = yield* serve(
          Effect.zipRight(started.open, Effect.never).pipe(
            Effect.onInterrupt(() => Effect.delay(Effect.sync(() => journal.push("rolled back")), "50 millis"))
          ),
          { drainTimeout: "100 millis" }
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        const report = yield* (yield* server.beginDrain)
        const received = yield* client.closed
        assert.deepStrictEqual(responses(received), ["503 close"])
        assert.match(received, /retry-after: 1/i)
        assert.deepStrictEqual(journal, ["rolled back"])
        assert.deepStrictEqual(summarize(report), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.strictEqual(report.reason, "drain not done within 100ms")
      })
  },
  {
    situation: "a handler that ignores its interruption",
    behavior:
      "is abandoned after `releaseTimeout`; its connection is destroyed, so that it has nothing left to write to",
    test: (serve) =>
      Effect.gen(function*() {
        const started = yield* Effect.makeLatch()
        const server = yield* serve(Effect.uninterruptible(Effect.zipRight(started.open, Effect.never)), shortTimeouts)
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        const report = yield* (yield* server.beginDrain)
        assert.strictEqual(yield* client.closed, "")
        assert.deepStrictEqual(summarize(report), { outcome: "Abandoned", finished: 0, cut: 1 })
      })
  },
  {
    situation: "a request whose finalizer hangs",
    behavior: "gets its response, and is abandoned after `drainTimeout` and `releaseTimeout`",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(
          Effect.as(Effect.addFinalizer(() => Effect.never), HttpServerResponse.text("answered")),
          shortTimeouts
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/answered/)
        const report = yield* (yield* server.beginDrain)
        yield* client.closed
        assert.deepStrictEqual(summarize(report), { outcome: "Abandoned", finished: 0, cut: 1 })
      })
  },
  {
    situation: "a large response that its client does not read",
    behavior: "is awaited until `drainTimeout`; then its connection is destroyed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(Effect.succeed(HttpServerResponse.uint8Array(new Uint8Array(50_000_000))), {
          drainTimeout: "100 millis"
        })
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/200 OK/)
        client.socket.pause()
        const report = yield* (yield* server.beginDrain)
        assert.deepStrictEqual(summarize(report), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    situation: "a large response that its client reads slowly",
    behavior: "is sent completely",
    test: (serve) =>
      Effect.gen(function*() {
        const size = 5_000_000
        const server = yield* serve(Effect.succeed(HttpServerResponse.uint8Array(new Uint8Array(size))))
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/200 OK/)
        client.socket.pause()
        const drained = yield* server.beginDrain
        yield* Effect.delay(Effect.sync(() => client.socket.resume()), "300 millis")
        const received = yield* client.closed
        assert.strictEqual(received.length - received.indexOf("\r\n\r\n") - 4, size)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
