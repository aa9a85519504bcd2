import { assert, describe, it } from "vitest"
import type { Job } from "../fixtures/chaos/job.js"
import type { Entry } from "../fixtures/chaos/journal.js"
import { check, type History, type Violation } from "./checker.js"
import type { Life } from "./cluster.js"
import { scheduleOf } from "./schedule.js"

const job = (key: string, kind: Job["kind"], count = 0): Job => ({ key, kind, millis: 1, count })
const jobs = [
  job("a", "plain"),
  job("b", "steps", 2),
  job("c", "failing"),
  job("d", "poison"),
  job("e", "ignoresInterrupt")
]
const batch = { at: 0, sentOnce: false, jobs }

const entry = (job: string, attempt: number, what: string, process = "1.1"): Entry => ({
  at: attempt,
  process,
  job,
  id: `id of ${job}`,
  attempt,
  what
})

const life = (name: string, how: Partial<Life>): Life => ({
  name,
  code: 0,
  signal: null,
  started: 0,
  ended: 1_000,
  hasOutput: true,
  hasRun: true,
  killedItself: false,
  signals: [{ at: 900, signal: "SIGTERM" }],
  report: undefined,
  ...how
})

const effect = (key: string) => ({ key, process: "1.1", attempt: 1 })
const dead = (key: string) => ({ key, attempt: 3, error: "it was too much" })
const step = (step: number) => ({ key: "b", step })

const good: History = {
  schedule: { seed: 1, engine: "postgres", services: 1, batches: [batch], redrive: 0, faults: [] },
  acknowledged: [batch],
  ledger: {
    accepted: jobs,
    effects: ["a", "b", "e"].map(effect),
    steps: [step(1), step(2)],
    dead: ["c", "d"].map(dead),
    redriven: [],
    unfinished: []
  },
  journal: [
    entry("a", 1, "begun"),
    entry("a", 1, "interrupted"),
    entry("a", 1, "begun", "1.2"),
    entry("a", 1, "done", "1.2")
  ],
  lives: [life("1.1", {}), life("1.2", {})],
  outages: []
}

const finds = (history: Partial<History>, ...violations: ReadonlyArray<Violation>) =>
  assert.deepStrictEqual(check({ ...good, ...history }), violations)

const ledger = (change: Partial<History["ledger"]>) => ({ ledger: { ...good.ledger, ...change } })

describe("the checker of a round", () => {
  it("finds nothing in a correct history", () => finds({}))

  it("finds a missing effect and a double one", () => {
    finds(ledger({ effects: ["b", "e", "e"].map(effect) }), {
      job: "a",
      what: "(plain) has 0 effects and 0 dead letters, not 1 and 0"
    }, { job: "e", what: "(ignoresInterrupt) has 2 effects and 0 dead letters, not 1 and 0" })
  })

  it("finds an unexpected dead letter, with its error", () => {
    finds(ledger({ dead: ["a", "c", "d"].map(dead) }), {
      job: "a",
      what: "(plain) has 1 effects and 1 dead letters, not 1 and 0; dead after attempt 3: it was too much"
    })
  })

  it("finds a risky job that is neither a dead letter nor redriven", () => {
    finds(ledger({ effects: ["a", "b", "c", "e"].map(effect), dead: [dead("d")] }), {
      job: "c",
      what: "(failing) has 1 effects and 0 dead letters, not 0 and 1"
    })
    finds(ledger({ effects: ["a", "b", "c", "e"].map(effect), dead: [dead("d")], redriven: ["c"] }))
  })

  it("finds steps that are missing, double or out of order", () => {
    for (const steps of [[], [1], [2, 1], [1, 1, 2]]) {
      finds(ledger({ steps: steps.map(step) }), { job: "b", what: `has the steps ${steps.join() || "none"}, not 1,2` })
    }
  })

  it("finds an acknowledged job that is unknown, and a job that has run but was not accepted", () => {
    const [, ...accepted] = jobs
    finds(
      ledger({ accepted }),
      { job: "a", what: "was acknowledged, but is unknown" },
      { job: "a", what: "was not accepted, but has run" }
    )
  })

  it("finds a batch that no process accepted, unless it was sent once, and what the engine still holds", () => {
    finds({ acknowledged: [] }, { what: "no process accepted the batch of a" })
    finds({ acknowledged: [], schedule: { ...good.schedule, batches: [{ ...batch, sentOnce: true }] } })
    finds(ledger({ unfinished: ["1 active in work"] }), { what: "the engine still holds 1 active in work" })
  })

  it("finds an attempt that began again without an interruption, and one too many of a risky job", () => {
    const journal = [entry("a", 1, "begun"), entry("a", 1, "failed: no"), entry("a", 1, "begun", "1.2")]
    finds({ journal }, { job: "a", what: "began attempt 1 again, although its run in 1.1 failed: no" })
    finds({ journal: [entry("d", 4, "begun")] }, { job: "d", what: "began attempt 4 of 3" })
  })

  it("finds processes that end late, by another signal, or with an unexplained exit code", () => {
    finds({ lives: [life("1.1", { signals: [] })] }, { what: "process 1.1 ended by itself with 0" })
    finds({ lives: [life("1.1", { ended: 60_000 })] }, { what: "process 1.1 took 59100 ms to end" })
    finds({ lives: [life("1.1", { code: null, signal: "SIGSEGV" })] }, {
      what: "process 1.1 was ended by SIGSEGV, which it was not sent"
    })
    finds({ lives: [life("1.1", { code: 1 })] }, { what: "process 1.1 ended with 1, its report says undefined" })
  })
})

describe("the schedule of a round", () => {
  it("is the same for the same seed, and different for another seed", () => {
    assert.deepStrictEqual(scheduleOf("redis", 7), scheduleOf("redis", 7))
    assert.notDeepEqual(scheduleOf("redis", 7).faults, scheduleOf("redis", 8).faults)
  })
})
