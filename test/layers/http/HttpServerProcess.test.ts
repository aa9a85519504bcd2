import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { answers, connect, get } from "../../fixtures/http/client.js"
import { type Child, runFixture } from "../../kit/child.js"

const start = (how: string, env: Record<string, string> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => runFixture("http/app.ts", { HOW: how, ...env })),
    (child) => Effect.promise(() => child.end())
  )

const listening = (child: Child) =>
  Effect.promise(async () => Number((await child.said(/listening on http:\/\/127\.0\.0\.1:(\d+)/))[1]))

const ended = (child: Child) => Effect.promise(() => child.ended)

describe("HttpServer, in a real process", () => {
  for (const how of ["launch", "Layer.launch", "no exit"]) {
    it.scopedLive(`ends under ${how}, though a handler ignores everything and clients stay connected`, () =>
      Effect.gen(function*() {
        const child = yield* start(how)
        const port = yield* listening(child)
        const silent = yield* connect(port)
        const kept = yield* connect(port)
        yield* kept.send(get("/"))
        yield* kept.until(/answered/)
        const half = yield* connect(port)
        yield* half.send("GET / HTTP/1.1\r\nHo")
        const deaf = yield* connect(port)
        yield* deaf.send(get("/deaf"))
        yield* Effect.promise(() => child.said(/arrived[^]*arrived/))
        child.kill("SIGTERM")
        yield* Effect.all([silent.closed, kept.closed, half.closed, deaf.closed])
        // Abandoned work is a failure where somebody judges: launch does.
        assert.deepStrictEqual(yield* ended(child), { code: how === "launch" ? 1 : 0, signal: null }, child.output)
        assert.match(child.output, /http.*Abandoned/)
      }))
  }

  for (const how of ["broken", "broken under Layer.launch"]) {
    it.scopedLive(`a start that fails ends ${how.slice(7) || "under launch"}, with its clients connected`, () =>
      Effect.gen(function*() {
        const child = yield* start(how)
        const port = yield* listening(child)
        const silent = yield* connect(port)
        const held = yield* connect(port)
        yield* held.send(get("/"))
        const probe = yield* connect(port)
        yield* probe.send(get("/readyz"))
        yield* probe.until(/Starting/)
        child.kill("SIGUSR2")
        assert.deepStrictEqual(answers(yield* held.closed), ["503 close"])
        yield* silent.closed
        assert.deepStrictEqual(yield* ended(child), { code: 1, signal: null })
        assert.match(child.output, /no database/)
      }))
  }

  it.scopedLive("a port in use ends the process with one line about it", () =>
    Effect.gen(function*() {
      const port = yield* listening(yield* start("launch"))
      const second = yield* start("launch", { PORT: String(port) })
      assert.deepStrictEqual(yield* ended(second), { code: 1, signal: null })
      const lines = second.output.split("\n").filter((line) => line.includes("listen"))
      assert.strictEqual(lines.length, 1, second.output)
      assert.include(lines[0], `Cannot listen on 127.0.0.1:${port}: it is in use. Stop what listens there, or choose`)
    }))
})
