import { assert, describe, it } from "vitest"
import type { Job } from "../fixtures/chaos/job.js"
import type { Entry } from "../fixtures/chaos/journal.js"
import type { Life } from "./fleet.js"
import { scheduleOf } from "./schedule.js"
import { type Evidence, type Problem, verdict } from "./verdict.js"

const job = (key: string, kind: Job["kind"], count = 0): Job => ({ key, kind, millis: 1, count })
const jobs = [job("a", "plain"), job("b", "steps", 2), job("c", "doomed"), job("d", "poison"), job("e", "deaf")]
const batch = { at: 0, careless: false, jobs }

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
  spoke: true,
  ran: true,
  told: [{ at: 900, signal: "SIGTERM" }],
  report: undefined,
  ...how
})

const effect = (key: string) => ({ key, process: "1.1", attempt: 1 })
const dead = (key: string) => ({ key, attempt: 3, error: "it was too much" })
const step = (step: number) => ({ key: "b", step })

const good: Evidence = {
  schedule: { seed: 1, engine: "postgres", services: 1, batches: [batch], pardon: 0, blows: [] },
  answered: [batch],
  ledger: {
    accepted: jobs,
    effects: ["a", "b", "e"].map(effect),
    steps: [step(1), step(2)],
    dead: ["c", "d"].map(dead),
    pardoned: [],
    leftovers: []
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

const sees = (evidence: Partial<Evidence>, ...problems: ReadonlyArray<Problem>) =>
  assert.deepStrictEqual(verdict({ ...good, ...evidence }), problems)

const ledger = (change: Partial<Evidence["ledger"]>) => ({ ledger: { ...good.ledger, ...change } })

describe("the verdict on a round", () => {
  it("is nothing when all is as it must be", () => sees({}))

  it("sees an effect that is missing, and one that is there twice", () => {
    sees(ledger({ effects: ["b", "e", "e"].map(effect) }), {
      job: "a",
      what: "(plain) has 0 effects and 0 dead letters, not 1 and 0"
    }, { job: "e", what: "(deaf) has 2 effects and 0 dead letters, not 1 and 0" })
  })

  it("sees a dead letter that should not be one, and says what it died of", () => {
    sees(ledger({ dead: ["a", "c", "d"].map(dead) }), {
      job: "a",
      what: "(plain) has 1 effects and 1 dead letters, not 1 and 0; given up in attempt 3: it was too much"
    })
  })

  it("sees a risky job that is neither a dead letter nor pardoned", () => {
    sees(ledger({ effects: ["a", "b", "c", "e"].map(effect), dead: [dead("d")] }), {
      job: "c",
      what: "(doomed) has 1 effects and 0 dead letters, not 0 and 1"
    })
    sees(ledger({ effects: ["a", "b", "c", "e"].map(effect), dead: [dead("d")], pardoned: ["c"] }))
  })

  it("sees steps that are missing, twice or out of order", () => {
    for (const steps of [[], [1], [2, 1], [1, 1, 2]]) {
      sees(ledger({ steps: steps.map(step) }), { job: "b", what: `has the steps ${steps.join() || "none"}, not 1,2` })
    }
  })

  it("sees what was promised and is unknown, and what was done without having been accepted", () => {
    const [, ...accepted] = jobs
    sees(
      ledger({ accepted }),
      { job: "a", what: "was answered as accepted, and is unknown" },
      { job: "a", what: "was not accepted, and was done" }
    )
  })

  it("sees a batch that nobody accepted, unless its client did not care, and what the engine still holds", () => {
    sees({ answered: [] }, { what: "nobody accepted the batch of a" })
    sees({ answered: [], schedule: { ...good.schedule, batches: [{ ...batch, careless: true }] } })
    sees(ledger({ leftovers: ["1 active in work"] }), { what: "the engine still holds 1 active in work" })
  })

  it("sees an attempt that cost nothing although nobody interrupted it, and one too many of a risky job", () => {
    const journal = [entry("a", 1, "begun"), entry("a", 1, "failed: no"), entry("a", 1, "begun", "1.2")]
    sees({ journal }, { job: "a", what: "began attempt 1 again, although its run in 1.1 failed: no" })
    sees({ journal: [entry("d", 4, "begun")] }, { job: "d", what: "was begun in attempt 4 of 3" })
  })

  it("sees processes that end otherwise than they were told to", () => {
    sees({ lives: [life("1.1", { told: [] })] }, { what: "process 1.1 ended by itself with 0" })
    sees({ lives: [life("1.1", { ended: 60_000 })] }, { what: "process 1.1 took 59100 ms to end" })
    sees({ lives: [life("1.1", { code: null, signal: "SIGSEGV" })] }, {
      what: "process 1.1 was ended by SIGSEGV, which nobody had sent"
    })
    sees({ lives: [life("1.1", { code: 1 })] }, { what: "process 1.1 ended with 1, its report says undefined" })
  })
})

describe("the schedule of a round", () => {
  it("is the same for the same seed, and another for another", () => {
    assert.deepStrictEqual(scheduleOf("redis", 7), scheduleOf("redis", 7))
    assert.notDeepEqual(scheduleOf("redis", 7).blows, scheduleOf("redis", 8).blows)
  })
})
