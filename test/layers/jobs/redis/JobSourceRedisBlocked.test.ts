// Leases that a thread renews while this one is blocked.
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Logger, Scope } from "effect"
import { Redis } from "ioredis"
import { execFileSync } from "node:child_process"
import type { Claim } from "../../../../src/layers/jobs/JobSource.js"
import { describeRedisServer, newPrefix } from "../../../kit/redis.js"
import { eventually } from "../../../kit/until.js"
import { take } from "../JobSourceWorld.js"
import { source } from "./JobSourceRedisWorld.js"

const renewWhileBlocked = true
const anHour = 3_600_000

/** Blocks this thread until the expression, which may await a client named `redis`, is true. */
const blockUntil = (url: string, expression: string) =>
  execFileSync(process.execPath, [
    "-e",
    `
    const { Redis } = require("ioredis")
    const redis = new Redis(${JSON.stringify(url)})
    const look = async () => ${expression} || look()
    look().then(() => redis.quit())
  `
  ], { timeout: 60_000 })

const warnings: Array<unknown> = []
const Warnings = Logger.replace(
  Logger.defaultLogger,
  Logger.make(({ logLevel, message }) => void (logLevel._tag === "Warning" && warnings.push(message)))
)

describeRedisServer("renewWhileBlocked of JobSourceRedis", (server) => {
  const ask = <A>(command: (redis: Redis) => Promise<A>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => new Redis(server.url)),
      (redis) => Effect.promise(() => command(redis)),
      (redis) => Effect.sync(() => redis.disconnect())
    )

  /** The ids of the connections of threads. */
  const threads = Effect.map(
    ask((redis) => redis.client("LIST") as Promise<string>),
    (clients) => Array.from(clients.matchAll(/^id=(\d+) .* name=lastcall-leases /gm), ([, id]) => id!)
  )
  const connected = eventually("the thread is connected", threads, ({ length }) => length === 1)

  it.scopedLive("starts one thread for the queues of pools, none for those that only offer jobs, and none by default", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { open } = yield* Scope.extend(source(server, { prefix: newPrefix(), renewWhileBlocked }), scope)
      const client = yield* open({ name: "client" })
      assert.isUndefined(client.whileBlocked)
      assert.deepStrictEqual(yield* threads, [])
      for (const name of ["one", "other"]) {
        const { whileBlocked } = yield* Scope.extend(open({ name, concurrency: 1 }), scope)
        assert.isDefined(whileBlocked)
      }
      assert.strictEqual((yield* threads).length, 1)
      yield* Scope.close(scope, Exit.void)
      yield* eventually("its connection is closed", threads, ({ length }) => length === 0)
      const byDefault = yield* source(server, { prefix: newPrefix() })
      const { whileBlocked } = yield* byDefault.open({ name: "pool", concurrency: 1 })
      assert.isUndefined(whileBlocked)
    }))

  it.scopedLive("renews the locks that are held, whatever their ids, and none that another claim has", () =>
    Effect.gen(function*() {
      const prefix = newPrefix()
      const lease = 4_000
      const { open } = yield* source(server, { prefix, renewWhileBlocked, lease })
      const queue = yield* open({ name: "queue", concurrency: 9 })
      const ids = ["plain", "a:b \r\n ü \u{1f37a}", "taken", "let go", "never held"]
      yield* queue.offer(ids, { ids })
      const claims = yield* queue.claim(9)
      const keyOf = ({ id }: Claim) => `${prefix}:queue:${id.replace(":", "%3A")}:lock`
      yield* ask(async (redis) => {
        for (const claim of claims) await redis.pexpire(keyOf(claim), anHour)
        await redis.set(keyOf(claims[2]!), "another", "PX", anHour)
      })
      const [, , , letGo] = claims.slice(0, 4).map((claim) => queue.whileBlocked!.hold(claim))
      letGo!()
      const isRenewed = `await redis.pttl(${JSON.stringify(keyOf(claims[0]!))}) <= ${lease}`
      blockUntil(server.url, isRenewed)
      yield* ask((redis) => redis.pexpire(keyOf(claims[0]!), anHour))
      blockUntil(server.url, isRenewed)
      const locks = yield* ask((redis) =>
        Promise.all(claims.map(async (claim) => ({
          id: claim.id,
          isItsOwn: await redis.get(keyOf(claim)) === claim.token,
          isRenewed: await redis.pttl(keyOf(claim)) <= lease
        })))
      )
      assert.deepStrictEqual(locks, [
        { id: ids[0]!, isItsOwn: true, isRenewed: true },
        { id: ids[1]!, isItsOwn: true, isRenewed: true },
        { id: ids[2]!, isItsOwn: false, isRenewed: false },
        { id: ids[3]!, isItsOwn: true, isRenewed: false },
        { id: ids[4]!, isItsOwn: true, isRenewed: false }
      ])
    }))

  it.scopedLive("connects anew when its connection is lost", () =>
    Effect.gen(function*() {
      const { open } = yield* source(server, { prefix: newPrefix(), renewWhileBlocked })
      yield* open({ name: "queue", concurrency: 1 })
      const [lost] = yield* connected
      yield* ask((redis) => redis.client("KILL", "ID", lost!))
      yield* eventually("there is another connection", threads, ([id]) => id !== undefined && id !== lost)
    }))

  it.scopedLive("encrypts its connection as that of the source, also where Node verifies no certificate, and over IPv6", () =>
    Effect.gen(function*() {
      const { port } = yield* Effect.promise(server.serveTls)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
          process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
          return before
        }),
        (before) =>
          Effect.sync(() => {
            if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
            else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before
          })
      )
      const { open } = yield* source({ url: `rediss://[::1]:${port}` }, { prefix: newPrefix(), renewWhileBlocked })
      yield* open({ name: "queue", concurrency: 1 })
      assert.strictEqual((yield* threads).length, 1)
    }))

  it.scopedLive("warns of a renewal that fails, and connects anew", () =>
    Effect.gen(function*() {
      const prefix = newPrefix()
      const { open } = yield* source(server, { prefix, renewWhileBlocked, lease: "2 seconds" })
      const queue = yield* open({ name: "queue", concurrency: 1 })
      const [before] = yield* connected
      yield* queue.offer(["job"])
      const claim = yield* take(queue)
      const lock = `${prefix}:queue:${claim.id}:lock`
      yield* ask((redis) => redis.multi().del(lock).lpush(lock, "no text").exec())
      warnings.length = 0
      const letGo = queue.whileBlocked!.hold(claim)
      blockUntil(server.url, `(await redis.info("errorstats")).includes("WRONGTYPE")`)
      letGo()
      yield* eventually("there is another connection", threads, ([id]) => id !== undefined && id !== before)
      assert.match(String(warnings), /^leases are not renewed while the event loop is blocked: WRONGTYPE /)
      assert.strictEqual(warnings.length, 1)
    }).pipe(Effect.provide(Warnings)))

  it.scopedLive("warns once that the server refuses its user, and the queue works without it", () =>
    Effect.gen(function*() {
      const setUser = (...rules: Array<string>) => ask((redis) => redis.call("ACL", "SETUSER", "app", ...rules))
      yield* setUser("on", ">secret", "~*", "&*", "+@all")
      const url = server.url.replace("//", "//app:secret@")
      const { open } = yield* source({ url }, { prefix: newPrefix(), renewWhileBlocked })
      // Connections that are open keep their user.
      yield* setUser("off")
      warnings.length = 0
      const queue = yield* open({ name: "queue", concurrency: 1 })
      yield* queue.offer(["job"])
      const claim = yield* take(queue)
      const letGo = queue.whileBlocked!.hold(claim)
      yield* eventually(
        "it has tried again",
        ask((redis) => redis.call("ACL", "LOG") as Promise<Array<unknown>>),
        (refusals) => JSON.stringify(refusals).includes("\"count\",3")
      )
      letGo()
      assert.deepStrictEqual(yield* queue.acknowledge([claim]), [])
      assert.deepStrictEqual(warnings, [[
        "leases are not renewed while the event loop is blocked: WRONGPASS invalid username-password pair or user is disabled."
      ]])
    }).pipe(Effect.provide(Warnings)))
})
