import { HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Queue } from "effect"
import { answers, get } from "../../fixtures/http/client.js"
import { gist } from "../../fixtures/http/serving.js"
import type { Shape } from "./shape.js"

const short = { drainTimeout: "100 millis", releaseTimeout: "200 millis" } as const

/** What does not end by itself. */
export const bounds: ReadonlyArray<Shape> = [
  {
    shape: "a client that goes away",
    fate: "has its handler interrupted, which is awaited before anything that it uses is released",
    test: (serve) =>
      Effect.gen(function*() {
        const started = yield* Effect.makeLatch()
        const interrupted = yield* Effect.makeLatch()
        const go = yield* Deferred.make<void>()
        const journal: Array<string> = []
        const server = yield* serve(
          Effect.zipRight(started.open, Effect.never).pipe(Effect.onInterrupt(() =>
            Effect.zipRight(interrupted.open, Deferred.await(go)).pipe(Effect.map(() => journal.push("rolled back")))
          ))
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        yield* client.disappear
        yield* interrupted.await
        const end = yield* server.stop
        yield* Deferred.succeed(go, void 0)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["rolled back"])
      })
  },
  {
    shape: "pipelined requests whose client goes away",
    fate: "have all of their handlers interrupted",
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
        yield* client.disappear
        yield* Queue.takeN(ended, 3)
      })
  },
  {
    shape: "a handler that does not end",
    fate: "is interrupted at `drainTimeout` and awaited; its client gets 503 with `Retry-After`",
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
        const report = yield* (yield* server.stop)
        const received = yield* client.closed
        assert.deepStrictEqual(answers(received), ["503 close"])
        assert.match(received, /retry-after: 1/i)
        assert.deepStrictEqual(journal, ["rolled back"])
        assert.deepStrictEqual(gist(report), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.strictEqual(report.reason, "drain not done within 100ms")
      })
  },
  {
    shape: "a handler that ignores its interruption",
    fate: "is abandoned after `releaseTimeout`, and its connection destroyed: it has nothing left to write to",
    test: (serve) =>
      Effect.gen(function*() {
        const started = yield* Effect.makeLatch()
        const server = yield* serve(Effect.uninterruptible(Effect.zipRight(started.open, Effect.never)), short)
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        const report = yield* (yield* server.stop)
        assert.strictEqual(yield* client.closed, "")
        assert.deepStrictEqual(gist(report), { outcome: "Abandoned", finished: 0, cut: 1 })
      })
  },
  {
    shape: "a request whose finalizer hangs",
    fate: "is answered, and abandoned after `drainTimeout` and `releaseTimeout`",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(
          Effect.as(Effect.addFinalizer(() => Effect.never), HttpServerResponse.text("answered")),
          short
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/answered/)
        const report = yield* (yield* server.stop)
        yield* client.closed
        assert.deepStrictEqual(gist(report), { outcome: "Abandoned", finished: 0, cut: 1 })
      })
  },
  {
    shape: "a large answer whose client does not read it",
    fate: "is waited for until `drainTimeout`, then its connection destroyed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(Effect.succeed(HttpServerResponse.uint8Array(new Uint8Array(50_000_000))), {
          drainTimeout: "100 millis"
        })
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/200 OK/)
        client.socket.pause()
        const report = yield* (yield* server.stop)
        assert.deepStrictEqual(gist(report), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    shape: "a large answer whose client is slow",
    fate: "is finished",
    test: (serve) =>
      Effect.gen(function*() {
        const size = 5_000_000
        const server = yield* serve(Effect.succeed(HttpServerResponse.uint8Array(new Uint8Array(size))))
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/200 OK/)
        client.socket.pause()
        const end = yield* server.stop
        yield* Effect.delay(Effect.sync(() => client.socket.resume()), "300 millis")
        const received = yield* client.closed
        assert.strictEqual(received.length - received.indexOf("\r\n\r\n") - 4, size)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
