import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber } from "effect"
import * as Net from "node:net"
import { openDatabase } from "../../kit/database.js"

/** The duration of an effect, in milliseconds of the wall clock. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(effect), ([duration, value]) => [Duration.toMillis(duration), value] as const)

/** A server that accepts connections and never sends a byte. */
const silentServer = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
    const sockets = new Set<Net.Socket>()
    const server = Net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => undefined)
    }).listen(0, "127.0.0.1", () =>
      resume(Effect.succeed({
        port: (server.address() as Net.AddressInfo).port,
        close: () => {
          for (const socket of sockets) socket.destroy()
          server.close()
        }
      })))
  }),
  ({ close }) => Effect.sync(close)
)

const freePort = Effect.scoped(Effect.map(silentServer, ({ port }) => port))

describe("Database on PostgreSQL: starting", () => {
  const secret = "correct-horse"

  it.effect("an invalid URL is an error that does not repeat the URL", () =>
    Effect.gen(function*() {
      const urls = [
        "",
        "correct-horse",
        `mysql://me:${secret}@host/db`,
        `postgres://me:${secret}@host:port/db`,
        `postgres://me:${secret}@[::1/db`,
        "pglite:"
      ]
      for (const url of urls) {
        const error = yield* Effect.flip(Effect.scoped(openDatabase(url)))
        assert.strictEqual(error.reason, "InvalidUrl", url)
        assert.notInclude(JSON.stringify(error) + String(error.stack), secret)
      }
    }))

  it.effect("a URL whose user or password is not percent-encoded is refused, and nothing of it is repeated", () =>
    Effect.gen(function*() {
      const why = (url: string) =>
        Effect.map(Effect.flip(Effect.scoped(openDatabase(url))), (error) => {
          for (const part of ["admin", "correct", "horse", "stable"]) {
            assert.notInclude(JSON.stringify(error) + String(error.stack?.split("\n")[0]), part)
          }
          return `${error.reason}: ${error.message}`
        })
      const refused = (what: string, code: string) =>
        `InvalidUrl: The database URL has ${what} (percent-encode the user and the password: ${code}): ` +
        "expected postgres://user:password@host:port/database, pglite:./folder or pglite:memory."
      const behind = refused("an @ behind its host", "/ is %2F, ? is %3F, # is %23, @ is %40")
      for (
        const url of [
          "postgres://admin:correct@horse/sta:ble@127.0.0.1/db",
          "postgres://admin:1/horse@127.0.0.1/db",
          "postgres://admin:1?horse@127.0.0.1/db",
          "postgres://admin:1#horse@127.0.0.1/db",
          "postgresql://admin:correct@horse/stable?a@127.0.0.1/db",
          "postgres://admin:correct/horse@127.0.0.1/db"
        ]
      ) assert.strictEqual(yield* why(url), behind, url)
      assert.strictEqual(
        yield* why("postgres://admin:correct%horse@127.0.0.1/db"),
        refused("a % that encodes nothing", "% is %25")
      )
      assert.strictEqual(
        yield* why("postgres://admin:correct horse@127.0.0.1/db"),
        refused("white space in it", "a space is %20")
      )
      assert.strictEqual(
        yield* why("postgres://admin:correct@127.0.0.1/db?sslcert=/nowhere/horse"),
        "InvalidUrl: A file that the database URL names (sslcert, sslkey, sslrootcert) cannot be read: ENOENT."
      )
    }))

  it.live("a server that cannot be reached is an error with its address, without the password", () =>
    Effect.gen(function*() {
      // Percent-encoded, each of these characters may be in a password.
      const url = `postgres://me:p%40%2F%3F%23%25%20@${secret}@127.0.0.1:${yield* freePort}/shop`
      const error = yield* Effect.flip(Effect.scoped(openDatabase(url)))
      assert.strictEqual(error.reason, "Unreachable")
      assert.match(error.message, /127\.0\.0\.1:\d+, database "shop": .*ECONNREFUSED/)
      assert.notInclude(JSON.stringify(error) + String(error.stack), secret)
    }))

  it.scopedLive("a server that accepts connections and never answers fails the start within `connectTimeout`", () =>
    Effect.gen(function*() {
      const { port } = yield* silentServer
      const [took, error] = yield* timed(
        Effect.flip(
          Effect.scoped(openDatabase(`postgres://me@127.0.0.1:${port}/shop`, { connectTimeout: "200 millis" }))
        )
      )
      assert.strictEqual(error.reason, "Unreachable")
      assert.isBelow(took, 4_000)
    }))

  it.scopedLive("a start that waits for such a server can be interrupted", () =>
    Effect.gen(function*() {
      const { port } = yield* silentServer
      const fiber = yield* Effect.fork(
        Effect.scoped(openDatabase(`postgres://me@127.0.0.1:${port}/shop`, { connectTimeout: "1 minute" }))
      )
      yield* Effect.sleep("100 millis")
      const [took, exit] = yield* timed(Fiber.interrupt(fiber))
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isBelow(took, 8_000)
    }))
})
