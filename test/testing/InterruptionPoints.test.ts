import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Random, Ref, Schedule } from "effect"
import * as Interruption from "../../src/testing/Interruption.js"
import { ack, inbox, nothingLost, work } from "./inbox.js"

const numbers = ({ broken }: Interruption.Report) => broken.map(({ at }) => at)

describe("the points of an exploration", () => {
  it.effect("are only those where Effect's run loop can switch fibers, unless strict is set", () =>
    Effect.gen(function*() {
      const explore = (strict: boolean) =>
        Interruption.explore({
          setup: inbox,
          program: (inbox) =>
            Effect.zipRight(Effect.yieldNow(), Effect.flatMap(inbox.queue.take, (job) => ack(inbox, job))),
          invariant: nothingLost,
          strict
        })
      const usual = yield* explore(false)
      const strict = yield* explore(true)
      assert.isTrue(usual.safe, String(usual))
      assert.isBelow(usual.operations, strict.operations)
      assert.isAbove(strict.broken.length, 0)
    }))

  it.effect("run on a virtual clock: sleeps, timeouts and schedules take no real time", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Ref.make<ReadonlyArray<string>>([]),
        program: (journal) => {
          const note = (entry: string) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) =>
              Ref.update(journal, (entries) => [...entries, `${now / 3_600_000} h ${entry}`]))
          return Effect.gen(function*() {
            yield* Effect.timeoutOption(Effect.never, "1 hour")
            yield* note("timed out")
            yield* Effect.repeat(note("repeated"), Schedule.spaced("2 hours").pipe(Schedule.upTo("3 hours")))
            yield* Effect.sleep("30 days")
            yield* note("slept")
          })
        },
        invariant: (journal, exit) =>
          Effect.map(Ref.get(journal), (entries) => {
            const all = ["1 h timed out", "1 h repeated", "3 h repeated", "5 h repeated", "725 h slept"]
            assert.deepStrictEqual(entries, all.slice(0, entries.length))
            if (Exit.isSuccess(exit)) {
              assert.strictEqual(entries.length, all.length)
            }
          })
      })
      assert.isTrue(report.safe, String(report))
      assert.strictEqual(report.end, "Completed")
    }))

  it.effect("are the same in every exploration, although the program is random", () =>
    Effect.gen(function*() {
      const explore = Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.gen(function*() {
            const job = yield* inbox.queue.take
            yield* Effect.sleep(yield* Random.nextIntBetween(1, 10))
            yield* Effect.retry(
              Effect.fail("no"),
              Schedule.jittered(Schedule.spaced("1 second")).pipe(Schedule.upTo("1 minute"))
            )
              .pipe(Effect.ignore)
            yield* ack(inbox, job)
          }),
        invariant: nothingLost,
        sample: 20
      })
      const first = yield* explore
      assert.deepStrictEqual(yield* explore, first)
      assert.isAbove(first.broken.length, 0)
    }))

  it.effect("of a sample are spread from the first to the last, and depend on the seed", () =>
    Effect.gen(function*() {
      const explore = (sample: number, seed: number) =>
        Interruption.explore({
          setup: Effect.void,
          program: () => Effect.forEach(Array.from({ length: 100 }), () => work),
          invariant: () => Effect.fail("broken everywhere"),
          sample,
          seed
        })
      const report = yield* explore(10, 0)
      const [calm, ...at] = numbers(report)
      assert.strictEqual(calm, 0)
      assert.strictEqual(report.explored, 10)
      assert.strictEqual(at.length, 10)
      assert.strictEqual(at[0], 1)
      assert.strictEqual(at.at(-1), report.operations)
      const stretch = report.operations / 8
      at.forEach((point, index) => {
        if (index > 0) assert.isAtMost(point - at[index - 1]!, 2 * stretch + 1)
      })
      assert.notDeepEqual(numbers(yield* explore(10, 1)), [calm, ...at])
      assert.deepStrictEqual(numbers(yield* explore(1, 0)), [0, 1, report.operations])
    }))

  it.effect("include the operations of daemons, with the name of the fiber", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () =>
          Effect.gen(function*() {
            yield* Effect.forkDaemon(Effect.withSpan(Effect.repeatN(Effect.yieldNow(), 50), "daemon"))
            yield* Effect.sleep("1 second")
          }),
        invariant: () => Effect.fail("broken everywhere")
      })
      const running = report.broken.map((point) => point.running)
      assert.isAbove(running.filter((label) => label.startsWith("fiber 1 in daemon: ")).length, 50)
      assert.isAbove(running.filter((label) => label.startsWith("every fiber waits: root (")).length, 0)
    }))

  it.effect("exclude what daemons do after the program has ended", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () => Effect.forkDaemon(Effect.withSpan(Effect.repeatN(Effect.yieldNow(), 200), "daemon")),
        invariant: () => Effect.fail("broken everywhere")
      })
      const daemon = report.broken.filter((point) => point.running.startsWith("fiber 1"))
      assert.isBelow(daemon.length, 10)
    }))

  it.effect("disturb nothing but what happens at the point", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Ref.make(""),
        program: (journal) => {
          const note = (name: string) => Effect.zipRight(Ref.update(journal, (all) => all + name), Effect.yieldNow())
          return Effect.all([Effect.repeatN(note("a"), 5), note("b"), Effect.repeatN(note("c"), 3)], {
            concurrency: "unbounded"
          })
        },
        inject: () => Effect.void,
        invariant: (journal) => Effect.map(Ref.get(journal), (all) => assert.strictEqual(all, "abcacacacaa")),
        strict: true
      })
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("of an endless program end at maxOperations, and one that ignores the interruption is hung", () =>
    Effect.gen(function*() {
      const beating = yield* Interruption.explore({
        setup: Effect.void,
        program: () => Effect.forever(Effect.sleep("1 second")),
        invariant: () => Effect.void,
        maxOperations: 300
      })
      assert.strictEqual(beating.end, "Endless")
      assert.isAbove(beating.operations, 50)
      assert.isAtMost(beating.operations, 600)
      assert.isTrue(beating.safe, String(beating))
      const spinning = yield* Interruption.explore({
        setup: Effect.void,
        program: () => Effect.uninterruptible(Effect.forever(Effect.void)),
        invariant: () => Effect.void,
        maxOperations: 300,
        sample: 5
      })
      assert.match(spinning.hung.at(-1)!.reason, /^too many operations; still running: root/)
    }))

  it.effect("that differ from run to run are reported", () =>
    Effect.gen(function*() {
      let runs = 0
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () => Effect.suspend(() => Effect.repeatN(work, runs++ === 0 ? 20 : 0)),
        invariant: () => Effect.void
      })
      assert.match(report.broken[0]!.reason, /^the program differs from run to run/)
    }))
})
