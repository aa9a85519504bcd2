// Messages that a thread sends by itself while this thread is blocked, to a server on another thread.
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger } from "effect"
import { Worker } from "node:worker_threads"
import { makeThreadConnection } from "../../../src/core/internal/threadConnection.js"
import { eventually } from "../../kit/until.js"

/** Lines. The server answers each with one, which is an error if it begins with a "-". */
const protocol = `{
  encode: (name, texts) => name + ":" + texts.join(",") + "\\n",
  reader: () => (data) => {
    const lines = data.toString().split("\\n").slice(0, -1)
    return { answers: lines.length, error: lines.find((line) => line.startsWith("-")) }
  }
}`

/** Counts the lines, keeps them in the shared memory after the count, and closes its connections when it is told to. */
const server = `
const { parentPort, workerData: { memory, refuses } } = require("node:worker_threads")
const count = new Int32Array(memory, 0, 1)
const text = Buffer.from(memory, 4)
const sockets = new Set()
let length = 0
const listener = require("node:net").createServer((socket) => {
  sockets.add(socket)
  socket.on("error", () => undefined)
  socket.on("data", (data) => {
    for (const line of data.toString().split("\\n").slice(0, -1)) {
      length += text.write(line + "\\n", length)
      Atomics.add(count, 0, 1)
      Atomics.notify(count, 0)
      socket.write(refuses ? "-no\\n" : "yes\\n")
    }
  })
})
parentPort.on("message", () => sockets.forEach((socket) => socket.destroy()))
listener.listen(0, "127.0.0.1", () => parentPort.postMessage(listener.address().port))
`

const start = (options: { readonly refuses?: boolean } = {}) =>
  Effect.gen(function*() {
    const memory = new SharedArrayBuffer(1_000_000)
    const count = new Int32Array(memory, 0, 1)
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(server, { eval: true, workerData: { memory, refuses: options.refuses === true } })),
      (worker) => Effect.promise(() => worker.terminate())
    )
    const port = yield* Effect.async<number>((resume) =>
      void worker.once("message", (port) => resume(Effect.succeed(port)))
    )
    const lines = () => Buffer.from(memory, 4).toString().replace(/\0+$/, "").split("\n").slice(0, -1)
    /** Blocks this thread until the server has `more` lines. */
    const block = (more: number) => {
      for (const all = Atomics.load(count, 0) + more; Atomics.load(count, 0) < all;) {
        assert.notStrictEqual(Atomics.wait(count, 0, Atomics.load(count, 0), 20_000), "timed-out")
      }
      return lines()
    }
    let connects = 0
    const connection = yield* makeThreadConnection({
      purpose: "nothing is repeated",
      protocol,
      within: Duration.seconds(10),
      connect: (open) =>
        Effect.async((resume) => {
          connects++
          open(undefined).once("connect", () => resume(Effect.void)).connect(port, "127.0.0.1")
        })
    })
    const repeat = (message: string, longest: Duration.DurationInput = "1 hour") =>
      connection.repeat({ message, every: Duration.millis(10), longest: Duration.decode(longest) })
    return { block, closeConnections: () => worker.postMessage("close"), connects: () => connects, lines, repeat }
  })

describe("a thread connection", () => {
  it.scopedLive("sends each message once without texts, and again and again with them while the loop is blocked", () =>
    Effect.gen(function*() {
      const { block, lines, repeat } = yield* start()
      const { hold } = yield* repeat("a")
      yield* eventually("the first message arrives", Effect.sync(() => lines().length === 1))
      assert.deepStrictEqual(lines(), ["a:"])
      const letGo = hold("1")
      hold("x".repeat(500))
      assert.deepStrictEqual(block(2).slice(0, 3), ["a:", ...Array(2).fill(`a:1,${"x".repeat(500)}`)])
      letGo()
      hold("2")
      assert.strictEqual(block(3).at(-1), `a:2,${"x".repeat(500)}`)
    }))

  it.scopedLive("sends nothing later than a limit, or when the loop is blocked for longer than the longest time", () =>
    Effect.gen(function*() {
      const { block, lines, repeat } = yield* start()
      const limited = yield* repeat("limited")
      const short = yield* repeat("short", 0)
      const unlimited = yield* repeat("unlimited")
      yield* eventually("the first messages arrive", Effect.sync(() => lines().length === 3))
      for (const { hold } of [limited, short, unlimited]) hold("1")
      limited.limit(Duration.zero)
      assert.deepStrictEqual(block(5).slice(3, 8), Array(5).fill("unlimited:1"))
    }))

  it.scopedLive("is made anew when it is lost", () =>
    Effect.gen(function*() {
      const { block, closeConnections, connects, lines, repeat } = yield* start()
      const { hold } = yield* repeat("a")
      yield* eventually("the first message arrives", Effect.sync(() => lines().length === 1))
      closeConnections()
      yield* eventually("the message is sent anew", Effect.sync(() => lines().length === 2))
      hold("1")
      assert.deepStrictEqual(block(2).slice(0, 4), ["a:", "a:", "a:1", "a:1"])
      assert.strictEqual(connects(), 2)
    }))

  it.scopedLive("warns once of a server that refuses what is repeated", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make(({ message }) => void logged.push(message))
    return Effect.gen(function*() {
      const { connects, repeat } = yield* start({ refuses: true })
      yield* repeat("a")
      yield* eventually("it has tried again", Effect.sync(() => connects() > 2))
      assert.deepStrictEqual(logged, [["nothing is repeated: -no"]])
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })
})
