import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createServer } from "node:net"
import { answers, connect, get } from "../../fixtures/http/client.js"
import { bundle, Child, runFixture } from "../../kit/child.js"

const started = (child: () => Child) =>
  Effect.acquireRelease(Effect.sync(child), (child) => Effect.promise(() => child.end()))

const listening = (child: Child) =>
  Effect.promise(async () => Number((await child.said(/listening on http:\/\/127\.0\.0\.1:(\d+)/))[1]))

/** A port that somebody else listens on. */
const taken = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ port, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

describe("HttpServer, in a world that fails", () => {
  it.scopedLive("without file descriptors it drops what it cannot accept, and serves and drains the rest", () =>
    Effect.gen(function*() {
      const limited = ["-c", `ulimit -n 40; exec "${process.execPath}" "${bundle("http/app.ts")}"`]
      const child = yield* started(() => new Child("/bin/sh", limited, { HOW: "launch", DRAIN_TIMEOUT: "4000" }))
      const port = yield* listening(child)
      const kept = yield* connect(port)
      yield* kept.send(get("/"))
      yield* kept.until(/answered/)
      const crowd = yield* Effect.replicateEffect(connect(port), 60)
      yield* crowd.at(-1)!.closed
      yield* kept.send(get("/"))
      yield* kept.until(/answered[^]*answered/)
      child.kill("SIGTERM")
      yield* Effect.promise(() => child.said(/Draining/))
      yield* kept.send(get("/"))
      assert.deepStrictEqual(answers(yield* kept.closed).length, 3)
      assert.deepStrictEqual(yield* Effect.promise(() => child.ended), { code: 0, signal: null }, child.output)
      assert.match(child.output, /http.*Drained/)
    }))

  it.scopedLive("a second port that is taken ends a start whose first port has clients already", () =>
    Effect.gen(function*() {
      const { port: other } = yield* taken
      const child = yield* started(() => runFixture("http/app.ts", { HOW: "taken", TAKEN: String(other) }))
      const port = yield* listening(child)
      const silent = yield* connect(port)
      const kept = yield* connect(port)
      yield* kept.send(get("/"))
      yield* kept.until(/answered/)
      child.kill("SIGUSR2")
      yield* Effect.all([silent.closed, kept.closed])
      assert.deepStrictEqual(yield* Effect.promise(() => child.ended), { code: 1, signal: null }, child.output)
      assert.include(child.output, `Cannot listen on 127.0.0.1:${other}: it is in use.`)
    }))
})
