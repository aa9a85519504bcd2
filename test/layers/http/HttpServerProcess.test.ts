import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createServer } from "node:net"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { Child } from "../../kit/child.js"
import { bundle, runFixture } from "../../kit/programs.js"

const run = (child: () => Child) =>
  Effect.acquireRelease(Effect.sync(child), (child) => Effect.promise(() => child.end()))

const start = (mode: string, env: Record<string, string> = {}) =>
  run(() => runFixture("http/app.ts", { MODE: mode, ...env }))

const listening = (child: Child) =>
  Effect.promise(async () => Number((await child.waitFor(/listening on http:\/\/127\.0\.0\.1:(\d+)/))[1]))

const ended = (child: Child) => Effect.promise(() => child.ended)

/** A port on which another server listens. */
const portInUse = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ port, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

describe("HttpServer, in a process", () => {
  for (const mode of ["launch", "Layer.launch", "a scope alone"]) {
    it.scopedLive(`ends under ${mode}, even if a handler ignores its interruption and clients stay connected`, () =>
      Effect.gen(function*() {
        const child = yield* start(mode)
        const port = yield* listening(child)
        const unused = yield* connect(port)
        const used = yield* connect(port)
        yield* used.send(get("/"))
        yield* used.until(/answered/)
        const incomplete = yield* connect(port)
        yield* incomplete.send("GET / HTTP/1.1\r\nHo")
        const ignoring = yield* connect(port)
        yield* ignoring.send(get("/ignoring"))
        yield* Effect.promise(() => child.waitFor(/arrived[^]*arrived/))
        child.kill("SIGTERM")
        yield* Effect.all([unused.closed, used.closed, incomplete.closed, ignoring.closed])
        // Only launch reports abandoned work in the exit code.
        assert.deepStrictEqual(yield* ended(child), { code: mode === "launch" ? 1 : 0, signal: null }, child.output)
        assert.match(child.output, /http.*Abandoned/)
      }))
  }

  for (const mode of ["fail under launch", "fail under Layer.launch"]) {
    it.scopedLive(`a start that fails ends under ${mode.slice("fail under ".length)} while clients are connected`, () =>
      Effect.gen(function*() {
        const child = yield* start(mode)
        const port = yield* listening(child)
        const unused = yield* connect(port)
        const held = yield* connect(port)
        yield* held.send(get("/"))
        const probe = yield* connect(port)
        yield* probe.send(get("/readyz"))
        yield* probe.until(/Starting/)
        child.kill("SIGUSR2")
        assert.deepStrictEqual(responses(yield* held.closed), ["503 close"])
        yield* unused.closed
        assert.deepStrictEqual(yield* ended(child), { code: 1, signal: null })
        assert.match(child.output, /no database/)
      }))
  }

  it.scopedLive("an event stream that knows nothing of the drain ends cleanly, and the process ends at once with code 0", () =>
    Effect.gen(function*() {
      const child = yield* start("launch", { DRAIN_TIMEOUT: "4000" })
      const port = yield* listening(child)
      const client = yield* connect(port)
      yield* client.send(get("/events"))
      yield* client.until(/tick/)
      const from = performance.now()
      child.kill("SIGTERM")
      assert.match(yield* client.closed, /tick\n\n\r\n0\r\n\r\n$/)
      assert.deepStrictEqual(yield* ended(child), { code: 0, signal: null }, child.output)
      assert.isBelow(performance.now() - from, 3000)
      assert.match(child.output, /http.*Drained/)
    }))

  it.scopedLive("a port in use ends the process with one line", () =>
    Effect.gen(function*() {
      const port = yield* listening(yield* start("launch"))
      const second = yield* start("launch", { PORT: String(port) })
      assert.deepStrictEqual(yield* ended(second), { code: 1, signal: null })
      const lines = second.output.split("\n").filter((line) => line.includes("listen"))
      assert.strictEqual(lines.length, 1, second.output)
      assert.include(lines[0], `Cannot listen on 127.0.0.1:${port}: it is in use. Stop what listens there, or choose`)
    }))

  it.scopedLive("without file descriptors left, it drops new connections, and serves and drains the others", () =>
    Effect.gen(function*() {
      const limited = ["-c", `ulimit -n 40; exec "${process.execPath}" "${bundle("test/fixtures/http/app.ts")}"`]
      const child = yield* run(() => new Child("/bin/sh", limited, { MODE: "launch", DRAIN_TIMEOUT: "4000" }))
      const port = yield* listening(child)
      const used = yield* connect(port)
      yield* used.send(get("/"))
      yield* used.until(/answered/)
      const others = yield* Effect.replicateEffect(connect(port), 60)
      yield* others.at(-1)!.closed
      yield* used.send(get("/"))
      yield* used.until(/answered[^]*answered/)
      child.kill("SIGTERM")
      yield* Effect.promise(() => child.waitFor(/Draining/))
      yield* used.send(get("/"))
      assert.deepStrictEqual(responses(yield* used.closed).length, 3)
      assert.deepStrictEqual(yield* Effect.promise(() => child.ended), { code: 0, signal: null }, child.output)
      assert.match(child.output, /http.*Drained/)
    }))

  it.scopedLive("a second port that is in use fails the start, and closes the connections of the first", () =>
    Effect.gen(function*() {
      const { port: other } = yield* portInUse
      const child = yield* run(() => runFixture("http/app.ts", { MODE: "second server", SECOND_PORT: String(other) }))
      const port = yield* listening(child)
      const unused = yield* connect(port)
      const used = yield* connect(port)
      yield* used.send(get("/"))
      yield* used.until(/answered/)
      child.kill("SIGUSR2")
      yield* Effect.all([unused.closed, used.closed])
      assert.deepStrictEqual(yield* Effect.promise(() => child.ended), { code: 1, signal: null }, child.output)
      assert.include(child.output, `Cannot listen on 127.0.0.1:${other}: it is in use.`)
    }))
})
