import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  FiberSet,
  Layer,
  Option,
  Queue,
  Random,
  Ref,
  Schedule,
  Stream
} from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Interruption from "../../src/testing/Interruption.js"
import * as TestApp from "../../src/testing/TestApp.js"

const inbox = Effect.gen(function*() {
  const queue = yield* Queue.unbounded<string>()
  yield* queue.offerAll(["a", "b"])
  return { queue, acked: yield* Ref.make<ReadonlyArray<string>>([]) }
})
type Inbox = Effect.Effect.Success<typeof inbox>

/** A job that was not acknowledged is still in the queue. */
const nothingLost = ({ acked, queue }: Inbox) =>
  Effect.gen(function*() {
    const jobs = [...yield* Ref.get(acked), ...yield* queue.takeAll].sort()
    assert.deepStrictEqual(jobs, ["a", "b"])
  })

const ack = ({ acked }: Inbox, job: string) => Ref.update(acked, (jobs) => [...jobs, job])

const work = Effect.withSpan(Effect.yieldNow(), "work")

/** What a finished or interrupted unit of work owes: success acknowledges, anything else hands back. */
const settle = (inbox: Inbox, job: string, exit: Exit.Exit<unknown>) =>
  Exit.isSuccess(exit) ? ack(inbox, job) : inbox.queue.offer(job)

const points = (found: ReadonlyArray<Interruption.Point>) => found.map((point) => point.at)

describe("Interruption.explore", () => {
  it.effect("names exactly the operations between a naive take and its acknowledgement", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) => Effect.flatMap(inbox.queue.take, (job) => Effect.flatMap(work, () => ack(inbox, job))),
        invariant: nothingLost,
        strict: true
      })
      assert.strictEqual(report.end, "Completed")
      assert.strictEqual(report.explored, report.operations)
      const at = points(report.broken)
      const first = report.broken[0]!
      const last = report.broken.at(-1)!
      assert.deepStrictEqual(at, at.map((_, index) => first.at + index), "one stretch")
      assert.strictEqual(first.running, "root: succeed \"a\"")
      assert.match(last.running, /^root: sync .*MutableRef\.get\(this\.ref\)/)
      assert.match(first.reason, /expected \[ 'b' \] to deeply equal \[ 'a', 'b' \]/)
      assert.deepStrictEqual(report.hung, [])
    }))

  it.effect("finds no point at which acquireUseRelease loses a job", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.acquireUseRelease(inbox.queue.take, () => work, (job, exit) => settle(inbox, job, exit)),
        invariant: nothingLost
      })
      assert.isTrue(report.safe, String(report))
      assert.isAbove(report.operations, 20)
    }))

  it.effect("finds the one operation at which an interruptible take loses the job it was given", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(
              restore(inbox.queue.take),
              (job) => Effect.flatMap(Effect.exit(restore(work)), (exit) => settle(inbox, job, exit))
            )
          ),
        invariant: nothingLost
      })
      assert.deepStrictEqual(report.broken.map((point) => point.running), ["root: succeed \"a\""])
    }))

  it.effect("tries the moment at which an idle worker waits, and names an uninterruptible take as hung there", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.forever(
            Effect.acquireUseRelease(inbox.queue.take, () => work, (job, exit) => settle(inbox, job, exit))
          ),
        invariant: nothingLost
      })
      assert.strictEqual(report.end, "Idle")
      const last = report.hung.at(-1)!
      assert.strictEqual(last.at, report.operations)
      assert.match(last.running, /^every fiber waits: root \(async/)
      assert.match(last.reason, /^all wait for ever: root/)
    }))

  it.effect("finds a leaked permit, and none where withPermits holds it", () =>
    Effect.gen(function*() {
      const explore = (program: (semaphore: Effect.Semaphore) => Effect.Effect<void>) =>
        Interruption.explore({
          setup: Effect.makeSemaphore(1),
          program,
          invariant: (semaphore) =>
            Effect.flatMap(
              semaphore.withPermitsIfAvailable(1)(Effect.void),
              Option.match({ onNone: () => Effect.fail("a permit leaked"), onSome: () => Effect.void })
            )
        })
      const leaking = yield* explore((semaphore) =>
        Effect.zipRight(Effect.zipRight(semaphore.take(1), work), Effect.asVoid(semaphore.release(1)))
      )
      assert.isAbove(leaking.broken.length, 0)
      assert.deepStrictEqual(new Set(leaking.broken.map((point) => point.reason)), new Set(["a permit leaked"]))
      const holding = yield* explore((semaphore) => semaphore.withPermits(1)(work))
      assert.isTrue(holding.safe, String(holding))
    }))

  it.effect("finds a release that is skipped, and none where acquireRelease registers it", () =>
    Effect.gen(function*() {
      const open = Ref.update<number>((n) => n + 1)
      const close = Ref.update<number>((n) => n - 1)
      const allClosed = (opened: Ref.Ref<number>) => Effect.map(Ref.get(opened), (n) => assert.strictEqual(n, 0))
      const skipping = yield* Interruption.explore({
        setup: Ref.make(0),
        program: (opened) => Effect.zipRight(open(opened), Effect.addFinalizer(() => close(opened))),
        invariant: allClosed
      })
      assert.isAbove(skipping.broken.length, 0)
      const registering = yield* Interruption.explore({
        setup: Ref.make(0),
        program: (opened) => Effect.zipRight(Effect.acquireRelease(open(opened), () => close(opened)), work),
        invariant: allClosed
      })
      assert.isTrue(registering.safe, String(registering))
    }))

  it.effect("names as hung the points from which a race waits for an uninterruptible latch", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Deferred.make<void>(),
        program: (latch) => Effect.raceFirst(work, Effect.uninterruptible(Deferred.await(latch))),
        invariant: () => Effect.void
      })
      assert.isAbove(report.hung.length, 0)
      assert.match(report.hung[0]!.reason, /^all wait for ever: .*root/)
      assert.deepStrictEqual(report.broken, [])
    }))

  it.effect("leaves out what Effect's run loop cannot interrupt, unless it is told to be strict", () =>
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

  it.effect("runs sleeps, time-outs and schedules on its own clock, in no real time", () =>
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

  it.effect("finds the same in every exploration, whatever is random in the program", () =>
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

  it.effect("a sample is spread over the operations, the first and the last among them, and moves with its seed", () =>
    Effect.gen(function*() {
      const explore = (sample: number, seed: number) =>
        Interruption.explore({
          setup: Effect.void,
          program: () => Effect.forEach(Array.from({ length: 100 }), () => work),
          invariant: () => Effect.fail("noted"),
          sample,
          seed
        })
      const report = yield* explore(10, 0)
      const [calm, ...at] = points(report.broken)
      assert.strictEqual(calm, 0)
      assert.strictEqual(report.explored, 10)
      assert.strictEqual(at.length, 10)
      assert.strictEqual(at[0], 1)
      assert.strictEqual(at.at(-1), report.operations)
      const stretch = report.operations / 8
      at.forEach((point, index) => {
        if (index > 0) assert.isAtMost(point - at[index - 1]!, 2 * stretch + 1)
      })
      assert.notDeepEqual(points((yield* explore(10, 1)).broken), [calm, ...at])
      assert.deepStrictEqual(points((yield* explore(1, 0)).broken), [0, 1, report.operations])
    }))

  it.effect("counts the operations of daemons, and names the fiber at each point", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () =>
          Effect.gen(function*() {
            yield* Effect.forkDaemon(Effect.withSpan(Effect.repeatN(Effect.yieldNow(), 50), "daemon"))
            yield* Effect.sleep("1 second")
          }),
        invariant: () => Effect.fail("noted")
      })
      const running = report.broken.map((point) => point.running)
      assert.isAbove(running.filter((label) => label.startsWith("fiber 1 in daemon: ")).length, 50)
      assert.isAbove(running.filter((label) => label.startsWith("every fiber waits: root (")).length, 0)
    }))

  it.effect("ends with the program: what daemons do afterwards is no point", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () => Effect.forkDaemon(Effect.withSpan(Effect.repeatN(Effect.yieldNow(), 200), "daemon")),
        invariant: () => Effect.fail("noted")
      })
      const daemon = report.broken.filter((point) => point.running.startsWith("fiber 1"))
      assert.isBelow(daemon.length, 10)
    }))

  it.effect("changes nothing about a run but what happens at its point", () =>
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

  it.effect("explores programs made of layers, scopes, fiber sets and streams", () =>
    Effect.gen(function*() {
      class Desk extends Context.Tag("Desk")<Desk, (note: string) => Effect.Effect<void>>() {}
      const report = yield* Interruption.explore({
        setup: Ref.make<ReadonlyArray<string>>([]),
        program: (journal) => {
          const note = (entry: string) => Ref.update(journal, (entries) => [...entries, entry])
          const layer = Layer.scoped(
            Desk,
            Effect.gen(function*() {
              yield* Effect.acquireRelease(note("desk opened"), () => note("desk closed"))
              const tasks = yield* FiberSet.make<void>()
              return (entry: string) => Effect.asVoid(FiberSet.run(tasks, Effect.delay(note(entry), "1 second")))
            })
          )
          return Effect.gen(function*() {
            const desk = yield* Desk
            yield* Stream.fromSchedule(Schedule.spaced("1 second")).pipe(
              Stream.take(2),
              Stream.runForEach((n) => desk(`note ${n}`))
            )
          }).pipe(Effect.provide(layer))
        },
        invariant: (journal) =>
          Effect.map(Ref.get(journal), (entries) => {
            const opened = entries.filter((entry) => entry === "desk opened")
            assert.deepStrictEqual(entries.filter((entry) => entry === "desk closed").length, opened.length)
            if (opened.length > 0) assert.strictEqual(entries.at(-1), "desk closed")
          })
      })
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("waits for promises that resolve by themselves", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.gen(function*() {
            const job = yield* inbox.queue.take
            yield* Effect.timeout(Effect.promise(() => Promise.resolve().then(() => Promise.resolve())), "1 second")
            yield* ack(inbox, job)
          }),
        invariant: nothingLost
      })
      assert.strictEqual(report.end, "Completed")
      assert.isAbove(report.broken.length, 0)
      assert.deepStrictEqual(report.hung, [])
    }))

  it.effect("injects what it is given, in place of the interruption", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.all({ stop: Deferred.make<void>(), stopped: Ref.make(false) }),
        program: ({ stop, stopped }) => Effect.zipRight(Deferred.await(stop), Ref.set(stopped, true)),
        inject: ({ stop }) => Effect.asVoid(Deferred.succeed(stop, undefined)),
        invariant: ({ stopped }, exit) =>
          Effect.map(Ref.get(stopped), (ended) => assert.isTrue(ended && Exit.isSuccess(exit)))
      })
      assert.strictEqual(report.end, "Idle")
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("signals an app at every point of its life, and finds none at which a resource stays open", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.all({ app: Deferred.make<TestApp.TestApp>(), open: Ref.make(0) }),
        program: ({ app, open }) => {
          const resource = (name: string) =>
            Layer.scopedDiscard(Drain.acquire({
              name,
              acquire: Ref.update(open, (n) => n + 1),
              drain: () => Effect.sleep("3 seconds"),
              release: () => Ref.update(open, (n) => n - 1)
            }))
          return Effect.gen(function*() {
            const started = yield* TestApp.start(Layer.provide(resource("pool"), resource("database")))
            yield* Deferred.succeed(app, started)
            return yield* started.exit
          })
        },
        inject: ({ app }) => Effect.flatMap(Deferred.await(app), (app) => app.signal("SIGTERM")),
        invariant: ({ open }, exit) =>
          Effect.flatMap(
            Ref.get(open),
            (n) => Effect.sync(() => assert.deepStrictEqual([n, Exit.getOrElse(exit, () => -1)], [0, 0]))
          ),
        sample: 60
      })
      assert.strictEqual(report.end, "Idle")
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("follows an endless program for so many operations, and calls one that spins on hung", () =>
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
      assert.match(spinning.hung.at(-1)!.reason, /^too many operations, still there: root/)
    }))

  it.effect("says so when the program differs from run to run", () =>
    Effect.gen(function*() {
      let runs = 0
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () => Effect.suspend(() => Effect.repeatN(work, runs++ === 0 ? 20 : 0)),
        invariant: () => Effect.void
      })
      assert.match(report.broken[0]!.reason, /^the program differs from run to run/)
    }))

  it.effect("interrupts although the caller is uninterruptible, and fails with the error of setup", () =>
    Effect.gen(function*() {
      const report = yield* Effect.uninterruptible(Interruption.explore({
        setup: Effect.void,
        program: () => work,
        invariant: (_, exit) => Exit.isInterrupted(exit) ? Effect.fail("interrupted") : Effect.void
      }))
      assert.isAbove(report.broken.length, 0)
      const failure = yield* Effect.flip(Interruption.explore({
        setup: Effect.fail("no disk" as const),
        program: () => Effect.void,
        invariant: () => Effect.void
      }))
      assert.strictEqual(failure, "no disk")
    }))

  it.effect("reports a release of setup that fails or never ends", () =>
    Effect.gen(function*() {
      const explore = (release: Effect.Effect<void>) =>
        Interruption.explore({
          setup: Effect.addFinalizer(() => release),
          program: () => Effect.void,
          invariant: () => Effect.void,
          sample: 2
        })
      const failing = yield* explore(Effect.dieMessage("disk full"))
      assert.deepStrictEqual(failing.broken.map((point) => point.reason)[0], "the release of setup failed: disk full")
      const hanging = yield* explore(Effect.never)
      assert.match(hanging.hung[0]!.reason, /^the release of setup never ended; all wait for ever/)
    }))
})

describe("Interruption.crash", () => {
  interface Ledger {
    readonly paid: number
    readonly done: boolean
  }
  const setup = Ref.make<Ledger>({ paid: 0, done: false })
  const paidOnce = (ledger: Ref.Ref<Ledger>) =>
    Effect.map(Ref.get(ledger), (entry) => assert.deepStrictEqual(entry, { paid: 1, done: true }))

  it.effect("names the points after which a ledger that is not idempotent is wrong", () =>
    Effect.gen(function*() {
      const pay = (ledger: Ref.Ref<Ledger>) =>
        Effect.gen(function*() {
          if ((yield* Ref.get(ledger)).done) return
          yield* Effect.ensuring(
            Ref.update(ledger, (entry) => ({ ...entry, paid: entry.paid + 1 })),
            Ref.update(ledger, (entry) => ({ ...entry, done: true }))
          )
        })
      const report = yield* Interruption.crash({ setup, program: pay, restart: pay, invariant: paidOnce })
      assert.isAbove(report.broken.length, 0)
      assert.match(report.broken[0]!.reason, /paid: 2/)
      const interrupted = yield* Interruption.explore({
        setup,
        program: pay,
        invariant: (ledger) => Effect.map(Ref.get(ledger), ({ done, paid }) => assert.isTrue(done || paid === 0))
      })
      assert.isTrue(interrupted.safe, "finalizers cure an interruption, not a crash")
    }))

  it.effect("finds nothing where payment and mark are one write, and lets leases run out on the same clock", () =>
    Effect.gen(function*() {
      const pay = (ledger: Ref.Ref<Ledger>) =>
        Effect.gen(function*() {
          yield* Effect.sleep("1 minute")
          yield* Ref.update(ledger, (entry) => entry.done ? entry : { paid: entry.paid + 1, done: true })
        })
      const report = yield* Interruption.crash({
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
})

describe("Interruption.assertSafe", () => {
  it.effect("passes a safe report on, and fails with a message that names the points", () =>
    Effect.gen(function*() {
      const explore = (program: (inbox: Inbox) => Effect.Effect<unknown>) =>
        Interruption.explore({ setup: inbox, program, invariant: nothingLost }).pipe(Interruption.assertSafe)
      assert.isTrue((yield* explore(() => work)).safe)
      const error = yield* Effect.flip(explore((inbox) => Effect.flatMap(inbox.queue.take, (job) => ack(inbox, job))))
      assert.strictEqual(error._tag, "UnsafeInterruption")
      const lines = error.message.split("\n")
      assert.match(lines[0]!, /^broken at \d+ of \d+ explored points:$/)
      assert.strictEqual(lines[1], "  expected [ 'b' ] to deeply equal [ 'a', 'b' ]")
      assert.match(lines[2]!, /^ {4}from \d+: root: succeed "a"$/)
      assert.match(lines[3]!, /^ {4}to \d+: root: sync/)
      assert.strictEqual(lines.length, 4)
    }))
})
