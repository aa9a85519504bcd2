import { assert, describe, it } from "@effect/vitest"
import { Cron, Duration, FastCheck, Option } from "effect"
import { initialState, look, type Own } from "../../../src/layers/jobs/internal/scheduleState.js"
import { tickSchedule, tickTimes } from "../../../src/layers/jobs/internal/tickTimes.js"

const second = 1_000
const minute = 60 * second

/** Around the night in which Berlin's clocks are set back. */
const begin = Date.UTC(2025, 9, 25, 23, 59, 30)

const schedules = [
  Duration.seconds(40),
  Duration.minutes(7),
  Cron.unsafeParse("*/3 * * * *", "Europe/Berlin"),
  Cron.unsafeParse("0,1,30 2-4 * * *", "Europe/Berlin"),
  Cron.unsafeParse("15 */2 * * *", "UTC")
]

interface Case {
  readonly schedule: Cron.Cron | Duration.Duration
  readonly own: Pick<Own, "missed" | "overlap">
  /** In turn, for how many seconds a process is there and none is. */
  readonly shifts: ReadonlyArray<number>
  /** In turn, for how many seconds a run takes. */
  readonly runs: ReadonlyArray<number>
}

const missedAfter = Duration.minutes(1)
const hours = 3 * 60 * minute

const cases: FastCheck.Arbitrary<Case> = FastCheck.record({
  schedule: FastCheck.constantFrom(...schedules),
  own: FastCheck.record({
    missed: FastCheck.constantFrom("skip", "once", "all"),
    overlap: FastCheck.constantFrom("skip", "queue")
  }),
  shifts: FastCheck.array(
    FastCheck.oneof(FastCheck.integer({ min: 1, max: 90 }), FastCheck.integer({ min: 1, max: 5_000 })),
    {
      minLength: 1,
      maxLength: 8
    }
  ),
  runs: FastCheck.array(FastCheck.oneof(FastCheck.constant(0), FastCheck.integer({ min: 1, max: 1_000 })), {
    minLength: 1,
    maxLength: 5
  })
})

/** The first time from this one on at which a process is there. After the last shift there always is. */
const thereFrom = (shifts: ReadonlyArray<number>, time: number): number => {
  let end = begin
  for (const [n, shift] of shifts.entries()) {
    end += shift * second
    if (time < end) return n % 2 === 0 ? time : end
  }
  return time
}

interface Run {
  readonly tick: number
  readonly start: number
  readonly end: number
}

/** What happens: looks one after the other, as an engine delivers them. */
const simulate = ({ own, runs, schedule, shifts }: Case): ReadonlyArray<Run> => {
  const process: Own = { ...own, schedule: tickSchedule(schedule), startedAt: begin, missedAfter }
  const done: Array<Run> = []
  let state = initialState(process, begin)
  for (let now = begin; now < begin + hours;) {
    const running = done.length > 0 && done.at(-1)!.end > now
    const decision = look(state, process, { now, running, announced: Option.none() })
    if (Option.isSome(decision.run)) {
      const takes = runs[done.length % runs.length]! * second
      done.push({ tick: decision.run.value, start: now, end: now + takes })
    }
    state = decision.state
    assert.isAbove(decision.nextLook, 0)
    now = thereFrom(shifts, now + decision.nextLook)
  }
  return done
}

/** What is meant, tick by tick: which ticks run, given when the runs before them have begun and ended. */
const expected = ({ own, schedule, shifts }: Case, done: ReadonlyArray<Run>): ReadonlyArray<number> => {
  const { next } = tickTimes(tickSchedule(schedule))
  const taken = new Map<number, Array<number>>()
  for (let tick = next(begin); thereFrom(shifts, tick) < begin + hours; tick = next(tick)) {
    const at = thereFrom(shifts, tick)
    taken.set(at, [...taken.get(at) ?? [], tick])
  }
  const accepted: Array<number> = []
  for (const [at, ticks] of taken) {
    const last = ticks.at(-1)!
    const isLate = at - last > Duration.toMillis(missedAfter)
    if (ticks.length > 1 || isLate) {
      if (own.missed === "all") accepted.push(...ticks)
      if (own.missed === "once") accepted.push(last)
      if (own.missed !== "skip" || isLate) continue
    }
    const before = done[accepted.length - 1]
    const isBusy = accepted.length > 0 && (before === undefined || before.start >= at || before.end > at)
    if (own.overlap === "queue" || !isBusy) accepted.push(last)
  }
  return accepted
}

describe("the state of a scheduled job", () => {
  it("runs exactly the ticks that its policies name, in order and one at a time, whenever processes are there", () => {
    FastCheck.assert(
      FastCheck.property(cases, (input) => {
        const done = simulate(input)
        const ticks = expected(input, done)
        // What still waits at the end has not begun.
        assert.deepStrictEqual(done.map(({ tick }) => tick), ticks.slice(0, done.length))
        done.forEach(({ end, start, tick }, n) => {
          assert.isAtLeast(start, tick)
          const following = done[n + 1]
          if (following === undefined) return
          assert.isAbove(following.tick, tick)
          assert.isAtLeast(following.start, end)
          // Nothing waits longer than for the run before it, and for the look after that.
          const free = thereFrom(input.shifts, Math.max(end, following.tick))
          const wait = Math.min(Math.max((end - start) / 10, 100), 5_000)
          assert.isAtMost(following.start, thereFrom(input.shifts, Math.ceil(free + wait * 1.1) + 1))
        })
        if (ticks.length === done.length) return
        assert.isAtLeast(thereFrom(input.shifts, done.at(-1)!.end + 6 * second), begin + hours)
      }),
      { numRuns: 40 }
    )
  })

  it("finds the last tick of a time as looking at one after the other does", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...schedules),
        FastCheck.integer({ min: 0, max: 48 * 60 * 60 }),
        FastCheck.integer({ min: 0, max: 12 * 60 * 60 }),
        (schedule, offset, length) => {
          const { last, next } = tickTimes(tickSchedule(schedule))
          const from = begin + offset * second
          const until = next(from) + length * second
          let tick = next(from)
          while (next(tick) <= until) tick = next(tick)
          assert.strictEqual(last(from, until), tick)
        }
      ),
      { numRuns: 200 }
    )
  })
})
