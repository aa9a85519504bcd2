import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Logger, LogLevel, Queue, Scope, Stream } from "effect"
import { type RpcTransport, serveRpc } from "../../fixtures/http/rpc.js"
import { summarize } from "../../fixtures/http/serving.js"

const webSockets: ReadonlyArray<RpcTransport> = [
  { app: "WebSocket, HttpRouter", format: "ndjson" },
  { app: "WebSocket, HttpRouter", format: "msgPack" },
  { app: "WebSocket, HttpLayerRouter", format: "json" }
]
const ndjson: RpcTransport = { app: "HTTP", format: "ndjson" }
const streaming = [...webSockets, ndjson]
const all: ReadonlyArray<RpcTransport> = [...streaming, { app: "HTTP", format: "json" }]

const isWebSocket = ({ app }: RpcTransport) => app !== "HTTP"
const isRpcOverHttp = ({ app }: RpcTransport) => app === "HTTP"

/** Short, to keep the tests fast. */
const idleLinger = "60 millis"

describe("an app of @effect/rpc, unchanged", () => {
  const over = (
    transports: ReadonlyArray<RpcTransport>,
    name: string,
    test: (transport: RpcTransport) => Effect.Effect<void, unknown, Scope.Scope>
  ) => {
    for (const transport of transports) {
      it.scopedLive(`${transport.app}, ${transport.format}: ${name}`, () =>
        test(transport).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
    }
  }

  over(
    all,
    "calls in flight are answered, also after `streamTimeout`; then a WebSocket is closed with 1001",
    (transport) =>
      Effect.gen(function*() {
        const { arrived, beginDrain, client, closeCode, journal, respond } = yield* serveRpc(transport, {
          idleLinger,
          streamTimeout: "1 second"
        })
        const calls = yield* Effect.forEach(
          ["a", "b"],
          (name) => Effect.zipLeft(Effect.fork(client.Slow({ name })), arrived)
        )
        const drained = yield* beginDrain
        yield* Effect.sleep("1200 millis")
        yield* respond
        assert.deepStrictEqual(yield* Fiber.join(Fiber.all(calls)), ["a", "b"])
        const finished = isWebSocket(transport) ? 1 : 2
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished, cut: 0 })
        assert.deepStrictEqual(journal, ["a Success", "b Success", "released"])
        if (isWebSocket(transport)) assert.strictEqual(yield* closeCode, 1001)
      })
  )

  over(
    webSockets,
    "a call that arrives in the drain is answered, then its WebSocket is closed at once",
    (transport) =>
      Effect.gen(function*() {
        const { beginDrain, client, closeCode } = yield* serveRpc(transport, { idleLinger: "5 seconds" })
        assert.strictEqual(yield* client.Fast(), "fast")
        const drained = yield* beginDrain
        yield* Effect.sleep("50 millis")
        assert.strictEqual(yield* client.Fast(), "fast")
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.strictEqual(yield* closeCode, 1001)
      })
  )

  over(
    webSockets,
    "a WebSocket without a call in flight is closed with 1001 after `idleLinger`",
    (transport) =>
      Effect.gen(function*() {
        const { beginDrain, client, closeCode } = yield* serveRpc(transport, { idleLinger })
        assert.strictEqual(yield* client.Fast(), "fast")
        assert.deepStrictEqual(summarize(yield* yield* beginDrain), { outcome: "Drained", finished: 1, cut: 0 })
        assert.strictEqual(yield* closeCode, 1001)
      })
  )

  over(streaming, "a stream that ends within `streamTimeout` is complete", (transport) =>
    Effect.gen(function*() {
      const { beginDrain, client } = yield* serveRpc(transport, { idleLinger })
      const received = yield* Queue.unbounded<number>()
      const stream = yield* Effect.fork(Stream.runCollect(Stream.tap(client.Count(), (n) => received.offer(n))))
      yield* Queue.takeN(received, 2)
      const drained = yield* beginDrain
      assert.deepStrictEqual(Array.from(yield* Fiber.join(stream)), Array.from({ length: 20 }, (_, n) => n))
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  over(streaming, "a stream of `Shutdown.untilDraining` ends at once", (transport) =>
    Effect.gen(function*() {
      const { beginDrain, client, closeCode } = yield* serveRpc(transport, { idleLinger })
      const received = yield* Queue.unbounded<number>()
      const stream = yield* Effect.fork(Stream.runForEach(client.UntilDraining(), (n) => received.offer(n)))
      yield* Queue.takeN(received, 2)
      const drained = yield* beginDrain
      yield* Fiber.join(stream)
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      if (isWebSocket(transport)) assert.strictEqual(yield* closeCode, 1001)
    }))

  over(
    streaming,
    "an endless stream fails for its client after `streamTimeout`, and counts as cut",
    (transport) =>
      Effect.gen(function*() {
        const { arrived, beginDrain, client, closeCode, respond } = yield* serveRpc(transport, {
          idleLinger,
          streamTimeout: "300 millis"
        })
        const received = yield* Queue.unbounded<number>()
        const stream = yield* Effect.fork(Stream.runForEach(client.Ticks(), (n) => received.offer(n)))
        yield* Queue.takeN(received, 2)
        const call = yield* Effect.fork(client.Slow({ name: "a" }))
        yield* arrived
        const drained = yield* beginDrain
        const exit = yield* Fiber.await(stream)
        assert.isTrue(Exit.isFailure(exit))
        // Over a WebSocket the protocol of the app says that the call was interrupted; HTTP only resets the connection.
        if (Exit.isFailure(exit)) assert.strictEqual(Cause.isInterruptedOnly(exit.cause), isWebSocket(transport))
        yield* respond
        assert.strictEqual(yield* Fiber.join(call), "a")
        const finished = isWebSocket(transport) ? 0 : 1
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished, cut: 1 })
        if (isWebSocket(transport)) assert.strictEqual(yield* closeCode, 1001)
      })
  )

  over(
    webSockets,
    "calls that do not end by `drainTimeout` are interrupted and awaited, and count as cut",
    (transport) =>
      Effect.gen(function*() {
        const { arrived, beginDrain, client, closeCode, journal } = yield* serveRpc(transport, {
          idleLinger,
          drainTimeout: 100
        })
        const call = yield* Effect.fork(client.Cleanup())
        yield* arrived
        const drained = yield* beginDrain
        const exit = yield* Fiber.await(call)
        assert.isTrue(Exit.isInterrupted(exit), String(exit))
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.deepStrictEqual(journal, ["cleanup Failure", "released"])
        assert.strictEqual(yield* closeCode, 1001)
      })
  )

  over(
    webSockets,
    "a call that ignores its interruption is abandoned, and its connection destroyed",
    (transport) =>
      Effect.gen(function*() {
        const { arrived, beginDrain, client, closeCode } = yield* serveRpc(transport, {
          idleLinger,
          drainTimeout: 50,
          releaseTimeout: 200
        })
        const call = yield* Effect.fork(client.Never())
        yield* arrived
        assert.deepStrictEqual(summarize(yield* yield* beginDrain), { outcome: "Abandoned", finished: 0, cut: 1 })
        assert.isTrue(Exit.isFailure(yield* Fiber.await(call)))
        assert.strictEqual(yield* closeCode, 1006)
      })
  )

  over(
    all,
    "a call whose client disconnects is interrupted, and awaited before what it uses is released",
    (transport) =>
      Effect.gen(function*() {
        const { arrived, beginDrain, connect, journal } = yield* serveRpc(transport, { idleLinger })
        const scope = yield* Scope.make()
        const client = yield* Scope.extend(connect, scope)
        const call = yield* Effect.fork(client.Cleanup())
        yield* arrived
        yield* isRpcOverHttp(transport) ? Fiber.interrupt(call) : Scope.close(scope, Exit.void)
        yield* (yield* beginDrain)
        assert.deepStrictEqual(journal, ["cleanup Failure", "released"])
      })
  )
})
