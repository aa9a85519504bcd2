import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, FastCheck as fc, Fiber, Option, Schedule } from "effect"
import type { JobEvent, RunFields } from "../../../src/layers/jobs/JobEvent.js"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { holdsFor } from "../../kit/holdsFor.js"
import { long } from "../../kit/long.js"
import { virtually } from "../../kit/virtually.js"
import { makeWorld } from "./WorkerPoolWorld.js"

/** A random job. Times are in seconds. */
interface Job {
  readonly offeredAt: number
  readonly takes: number
  readonly failures: number
  readonly way: "returns" | "completes" | "checkpoints" | "slow to roll back" | "ignores its interruption"
}

class Pool extends WorkerPool.Tag("pool")<Pool, Job & { readonly n: number }, number>() {}

const seconds = (max: number) => fc.integer({ min: 0, max: max * 4 }).map((quarters) => quarters / 4)
const job = fc.record({
  offeredAt: seconds(6),
  takes: seconds(8),
  failures: fc.integer({ min: 0, max: 3 }),
  way: fc.constantFrom<Array<Job["way"]>>(
    "returns",
    "completes",
    "checkpoints",
    "slow to roll back",
    "ignores its interruption"
  )
})
const scenario = fc.record({
  jobs: fc.array(job, { maxLength: 12 }),
  concurrency: fc.integer({ min: 1, max: 4 }),
  durable: fc.boolean(),
  shutdownAt: seconds(8),
  releasedAfter: seconds(2),
  drainTimeout: seconds(6)
})
type Scenario = typeof scenario extends fc.Arbitrary<infer A> ? A : never

/** Counts the acknowledgements and dead letters of each job. */
const recorded = (settled: Map<string, number>) => (queue: JobQueue): JobQueue => {
  const count = (id: string) =>
    Effect.sync(() => {
      settled.set(id, (settled.get(id) ?? 0) + 1)
    })
  return {
    ...queue,
    transact: (claim, writes, settlement) =>
      Effect.tap(
        queue.transact(claim, writes, settlement),
        () => settlement._tag === "Ack" ? count(claim.id) : Effect.void
      ),
    deadLetter: (claim, error) => Effect.tap(queue.deadLetter(claim, error), () => count(claim.id))
  }
}

const ends = "Succeeded|Retried|DeadLettered|HandedBack|Interrupted HandedBack|LeaseLost|Abandoned"
/** The events of a job, run after run. A job that is claimed while its pool quiesces is handed back without a run. */
const lifeOfJob = new RegExp(`^((Started (Checkpointed )*(${ends})|HandedBack) )*$`)

/** The events of all processes, with a check of the events of each job. */
const journals = () => {
  const events: Array<JobEvent> = []
  return {
    events,
    onEvent: (event: JobEvent) => Effect.sync(() => events.push(event)),
    assertSound: (durable: boolean, failures: ReadonlyMap<string, number>) => {
      const jobs = new Map<string, ReadonlyArray<JobEvent & RunFields>>()
      for (const event of events) if ("id" in event) jobs.set(event.id, [...jobs.get(event.id) ?? [], event])
      for (const [id, journal] of jobs) {
        const lines = journal.map(({ _tag }) => `${_tag} `).join("")
        assert.match(lines, lifeOfJob)
        let attempt = 1
        for (const event of journal) {
          assert.strictEqual(event.attempt, attempt, lines)
          if (event._tag === "Retried") attempt++
        }
        assert.isAtMost(attempt, 1 + (failures.get(id) ?? 0), "only the job's own failures spend attempts")
      }
      const tags = events.map(({ _tag }) => _tag)
      if (durable) assert.notInclude(tags.slice(tags.indexOf("Quiesced"), tags.indexOf("Closed")), "Started")
    }
  }
}

const run = (scenario: Scenario) =>
  Effect.gen(function*() {
    const settled = new Map<string, number>()
    const { assertSound, events, onEvent } = journals()
    const world = yield* makeWorld({ durable: scenario.durable, wrap: recorded(settled) })
    const running = new Set<string>()
    let most = 0
    let twice = 0
    const failed = new Map<string, number>()

    const work = (
      { failures, takes, way }: Job,
      context: WorkerPool.JobContext<number>
    ): Effect.Effect<unknown, unknown> => {
      const step = Effect.sleep(Duration.seconds(takes))
      if (context.attempt <= failures) {
        return Effect.flatMap(step, () => {
          failed.set(context.id, (failed.get(context.id) ?? 0) + 1)
          return Effect.fail("bad luck")
        })
      }
      switch (way) {
        case "returns":
          return step
        case "completes":
          return Effect.zipRight(step, context.complete(Effect.void))
        case "checkpoints":
          return Effect.iterate(Option.getOrElse(context.cursor, () => 0), {
            while: (row) => row < 4,
            body: (row) =>
              Effect.as(Effect.zipRight(Effect.sleep(takes * 250), context.checkpoint(row + 1, Effect.void)), row + 1)
          })
        case "slow to roll back":
          return Effect.onInterrupt(step, () => Effect.sleep("1 second"))
        case "ignores its interruption":
          return Effect.uninterruptible(step)
      }
    }
    const layer = Pool.layer({
      concurrency: scenario.concurrency,
      drainTimeout: Duration.seconds(scenario.drainTimeout),
      releaseTimeout: "1 second",
      onEvent,
      retry: Schedule.spaced("500 millis").pipe(Schedule.intersect(Schedule.recurs(2))),
      process: (job, context) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            if (running.has(context.id)) twice++
            running.add(context.id)
            most = Math.max(most, running.size)
          }),
          () => work(job, context),
          () =>
            Effect.sync(() => {
              running.delete(context.id)
            })
        )
    })

    const first = yield* world.build(layer)
    let accepted = 0
    const producers = yield* Effect.forEach(scenario.jobs, (job, n) =>
      Pool.offer({ ...job, n }).pipe(
        Effect.tap(Effect.sync(() => accepted++)),
        Effect.delay(Duration.seconds(job.offeredAt)),
        Effect.provide(first.context),
        Effect.fork
      ))
    yield* Effect.sleep(Duration.seconds(scenario.shutdownAt))
    yield* world.lifecycle.transition("LameDuck")
    yield* Effect.sleep(Duration.seconds(scenario.releasedAfter))
    yield* Fiber.interruptAll(producers)
    yield* first.stop

    const status = yield* Effect.provide(Pool.status, first.context)
    const [report] = yield* world.reports
    const queue = yield* world.open("pool")
    const left = yield* queue.size
    assert.strictEqual(status.inFlight, running.size, "only jobs that ignore their interruption have slots")
    assert.isAtMost(most, scenario.concurrency)
    assert.strictEqual(twice, 0, "jobs that ran twice at the same time")
    if (report!.outcome !== "Abandoned") assert.strictEqual(status.inFlight, 0)
    if (scenario.durable) {
      assert.strictEqual(
        settled.size + left,
        accepted,
        "accepted jobs are settled, or in the queue for another process"
      )
      assert.isAtMost(status.handedBack, left)
      assert.strictEqual(report!.cut, status.inFlight)
    } else {
      assert.strictEqual(settled.size + report!.cut, accepted, "accepted jobs are settled or cut")
    }
    assert.isTrue([...settled.values()].every((times) => times === 1), "a job is settled once")
    assertSound(scenario.durable, failed)
    if (!scenario.durable) return

    // The next process finishes the jobs that are left, however this one ended.
    yield* Effect.sleep("20 seconds")
    const second = yield* world.build(layer, (yield* makeWorld()).lifecycle.shutdown)
    yield* Effect.sleep("5 minutes")
    assert.strictEqual(settled.size, accepted, "every job is settled in the end")
    assert.isTrue([...settled.values()].every((times) => times === 1), "a job is settled once")
    assert.strictEqual((yield* Effect.provide(Pool.status, second.context)).inFlight, 0)
    yield* second.stop
    assertSound(true, failed)
    assert.strictEqual(events.filter(({ _tag }) => _tag === "Closed").length, 2)
  }).pipe(Effect.scoped, virtually)

describe("WorkerPool, with random jobs, when the shutdown begins at a random time", () => {
  it.live(
    "accounts for every job: finished, handed back, cut, or in the queue, and none of them twice",
    () => holdsFor(scenario, run, { numRuns: long ? 2_000 : 100 }),
    300_000
  )
})
