import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Ref, Schedule } from "effect"
import * as Crash from "../../src/testing/Crash.js"
import * as Interruption from "../../src/testing/Interruption.js"

describe("Crash.explore", () => {
  interface Ledger {
    readonly paid: number
    readonly done: boolean
  }
  const setup = Ref.make<Ledger>({ paid: 0, done: false })
  const paidOnce = (ledger: Ref.Ref<Ledger>) =>
    Effect.map(Ref.get(ledger), (entry) => assert.deepStrictEqual(entry, { paid: 1, done: true }))

  it.effect("reports the points after which a restart pays twice", () =>
    Effect.gen(function*() {
      const pay = (ledger: Ref.Ref<Ledger>) =>
        Effect.gen(function*() {
          if ((yield* Ref.get(ledger)).done) return
          yield* Effect.ensuring(
            Ref.update(ledger, (entry) => ({ ...entry, paid: entry.paid + 1 })),
            Ref.update(ledger, (entry) => ({ ...entry, done: true }))
          )
        })
      const report = yield* Crash.explore({ setup, program: pay, restart: pay, invariant: paidOnce })
      assert.isAbove(report.broken.length, 0)
      assert.match(report.broken[0]!.reason, /paid: 2/)
      const interrupted = yield* Interruption.explore({
        setup,
        program: pay,
        invariant: (ledger) => Effect.map(Ref.get(ledger), ({ done, paid }) => assert.isTrue(done || paid === 0))
      })
      assert.isTrue(interrupted.safe, "finalizers run after an interruption, not after a crash")
    }))

  it.effect("reports no point for an idempotent write, and continues on the same clock", () =>
    Effect.gen(function*() {
      const pay = (ledger: Ref.Ref<Ledger>) =>
        Effect.gen(function*() {
          yield* Effect.sleep("1 minute")
          yield* Ref.update(ledger, (entry) => entry.done ? entry : { paid: entry.paid + 1, done: true })
        })
      const report = yield* Crash.explore({
        setup,
        program: pay,
        restart: (ledger) => Effect.zipRight(pay(ledger), Clock.currentTimeMillis),
        invariant: (ledger, exit) =>
          Effect.zipRight(
            paidOnce(ledger),
            Effect.map(exit, (now) => assert.include([60_000, 120_000], now))
          )
      })
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("runs nothing of the dead process after its point: no finalizer, no other fiber, no timer", () =>
    Effect.gen(function*() {
      const report = yield* Crash.explore({
        setup: Ref.make<ReadonlyArray<string>>([]),
        program: (store) => {
          const write = (what: string) => Ref.update(store, (all) => [...all, what])
          return Effect.gen(function*() {
            yield* Effect.forkDaemon(Effect.repeat(write("daemon"), Schedule.spaced("1 second")))
            yield* Effect.acquireRelease(write("opened"), () => write("closed"))
            yield* Effect.ensuring(Effect.sleep("5 seconds"), write("ended"))
          })
        },
        restart: (store) =>
          Effect.zipRight(Ref.update(store, (all) => [...all, "restarted"]), Effect.sleep("1 minute")),
        invariant: (store) =>
          Effect.map(Ref.get(store), (all) => assert.strictEqual(all.indexOf("restarted"), all.length - 1))
      })
      assert.isTrue(report.safe, String(report))
      assert.isAbove(report.operations, 50)
    }))

  it.effect("names the operation of a point, which is explored again alone with the same result", () =>
    Effect.gen(function*() {
      const pay = (ledger: Ref.Ref<Ledger>) =>
        Effect.gen(function*() {
          if ((yield* Ref.get(ledger)).done) return
          yield* Ref.update(ledger, (entry) => ({ ...entry, paid: entry.paid + 1 }))
          yield* Effect.withSpan(Ref.update(ledger, (entry) => ({ ...entry, done: true })), "mark as done")
        })
      const explore = (extent: Interruption.Extent) =>
        Crash.explore({ ...extent, setup, program: pay, restart: pay, invariant: paidOnce })
      const all = yield* explore({})
      assert.deepStrictEqual(yield* explore({}), all)
      const last = all.broken.at(-1)!
      assert.match(last.running, /^root in mark as done: /)
      const alone = yield* explore({ at: last.at })
      assert.deepStrictEqual([alone.explored, alone.broken], [1, [last]])
      const error = yield* Effect.flip(Crash.assertSafe(Effect.succeed(alone)))
      assert.deepStrictEqual([error._tag, error.message.split("\n")], ["UnsafeCrash", [
        `broken at 1 of 1 explored points, of ${all.operations} in all:`,
        `  ${last.reason}`,
        `    at ${last.at}: ${last.running}`
      ]])
    }))
})
