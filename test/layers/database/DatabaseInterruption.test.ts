import { Reactivity } from "@effect/experimental"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import { makeCheckouts } from "../../../src/layers/database/internal/checkouts.js"
import { makeClient, sharedTransaction } from "../../../src/layers/database/internal/client.js"
import { makeSlots } from "../../../src/layers/database/internal/slots.js"
import * as Interruption from "../../../src/testing/Interruption.js"

/** Every point in the long form, some in the short one. */
const extent = process.env["LASTCALL_LONG"] === undefined ? { sample: 150 } : {}

/** A server of one connection, in memory: what is written counts once it is committed. */
const makeServer = Effect.gen(function*() {
  const state = { transaction: false, pending: [] as Array<string>, committed: [] as Array<string>, out: 0 }
  const answer = (text: string) => {
    const command = text.split(" ")[0]!
    if (command === "BEGIN") state.transaction = true
    else if (command === "COMMIT" || command === "ROLLBACK") {
      if (command === "COMMIT") state.committed.push(...state.pending)
      state.transaction = false
      state.pending = []
    } else state.pending.push(text)
    return { rows: [], command }
  }
  const checkouts = makeCheckouts(1, () =>
    Effect.sync(() => {
      state.out++
      return {
        send: (text) => Promise.resolve().then(() => answer(text)),
        afterError: "",
        cancel: Effect.void,
        destroy: () => undefined,
        checkIn: () => Effect.sync(() => void state.out--)
      }
    }))
  const sql = yield* makeClient(sharedTransaction, checkouts.checkout, "BEGIN", {})
  return { state, checkouts, sql }
}).pipe(Effect.provide(Layer.fresh(Reactivity.layer)))

describe("Database: interrupted anywhere", () => {
  it.effect(
    "no transaction stays open or is committed in part, and no connection is lost",
    () =>
      Effect.gen(function*() {
        const report = yield* Interruption.explore({
          setup: makeServer,
          ...extent,
          program: ({ sql }) =>
            Effect.gen(function*() {
              const other = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`C`, sql`D`)))
              yield* sql.withTransaction(Effect.zipRight(sql`A`, sql.withTransaction(sql`B`)))
              yield* Fiber.join(other)
            }),
          invariant: ({ checkouts, sql, state }, exit) =>
            Effect.gen(function*() {
              const written = state.committed.filter((text) => /^[A-D]$/.test(text)).join("")
              if (!["", "AB", "CD", "ABCD", "CDAB"].includes(written)) yield* Effect.fail(`committed ${written}`)
              if (Exit.isSuccess(exit) && written.length !== 4) {
                yield* Effect.fail(`succeeded, but committed ${written}`)
              }
              if (state.transaction) yield* Effect.fail("a transaction is open")
              if (state.out !== 0) yield* Effect.fail("a connection is out")
              yield* sql`E`
              yield* checkouts.idle
            })
        })
        yield* Interruption.assertSafe(Effect.succeed(report))
        assert.isAbove(report.operations, 50)
      }),
    60_000
  )

  it.effect("a slot that is given in the moment of an interruption is handed on", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.sync(() => makeSlots(1, () => "closed")),
        program: (slots) => {
          const hold = Effect.scoped(Effect.zipRight(slots.acquire, Effect.yieldNow()))
          return Effect.gen(function*() {
            const others = [yield* Effect.fork(hold), yield* Effect.fork(hold)]
            yield* hold
            for (const other of others) yield* Fiber.join(other)
          })
        },
        invariant: (slots) => Effect.zipRight(slots.idle, Effect.scoped(slots.acquire))
      })
      yield* Interruption.assertSafe(Effect.succeed(report))
    }), 60_000)

  it.effect("a closed line sends newcomers away and keeps those who wait; dismissed, it sends them away too", () =>
    Effect.gen(function*() {
      const slots = makeSlots(1, () => "closed" as const)
      const held = yield* Effect.fork(Effect.scoped(Effect.zipRight(slots.acquire, Effect.never)))
      yield* Effect.yieldNow()
      const [first, second] = [
        yield* Effect.fork(Effect.scoped(Effect.zipRight(slots.acquire, Effect.never))),
        yield* Effect.fork(Effect.scoped(slots.acquire))
      ]
      yield* Effect.yieldNow()
      yield* slots.close
      assert.strictEqual(yield* Effect.flip(Effect.scoped(slots.acquire)), "closed")
      yield* Fiber.interrupt(held)
      yield* slots.dismiss
      assert.strictEqual(yield* Effect.flip(Fiber.join(second)), "closed")
      yield* Fiber.interrupt(first)
      yield* slots.idle
    }))
})
