import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Logger, LogLevel } from "effect"
import { beforeAll } from "vitest"
import { virtually } from "../kit/virtually.js"
import { type Graph, graph, type Observed, run } from "./randomGraph.js"

const runs = process.env["LASTCALL_LONG"] === undefined ? 1000 : 4_000
const seed = Date.now()

const observe = (graph: Graph): Promise<Observed> =>
  run(graph).pipe(virtually, Logger.withMinimumLogLevel(LogLevel.None), Effect.runPromise)

const observed: Array<{ readonly graph: Graph; readonly observed: Observed }> = []

beforeAll(async () => {
  for (const graph_ of FastCheck.sample(graph, { numRuns: runs, seed })) {
    observed.push({ graph: graph_, observed: await observe(graph_) })
  }
}, 600_000)

/** Tries the law on what was observed. Where it does not hold, the smallest counterexample is looked for and shown. */
const holds = async (law: (observed: Observed, graph: Graph) => void) => {
  try {
    for (const { graph, observed: seen } of observed) law(seen, graph)
  } catch {
    await FastCheck.assert(
      FastCheck.asyncProperty(graph, async (graph) => law(await observe(graph), graph)),
      { numRuns: runs, seed }
    )
    throw new Error(`the law did not hold with seed ${seed}, and did when it was tried again: it is not deterministic`)
  }
}

describe(`laws, on ${runs} random layer graphs`, () => {
  it("law 1: no resource is released while anything that depends on it still works, unless that is Abandoned", () =>
    holds(({ report, violations }) => {
      const abandoned = new Set(report.drains.filter((_) => _.outcome === "Abandoned").map((_) => _.name))
      assert.deepStrictEqual(violations.filter(({ by }) => !abandoned.has(by)), [])
    }))

  it("law 2: every wait is bounded, and the process ends by its deadline", () =>
    holds(({ deadline, ended, report }, { nodes }) => {
      assert.isAtMost(ended, deadline)
      assert.sameMembers(report.drains.map((_) => _.name), nodes.map((_, index) => `n${index}`))
    }))

  it("law 3: what was accepted is finished, handed back, or reported as cut", () =>
    holds(({ accepted, report }) => {
      for (const { cut, finished, handedBack, name } of report.drains) {
        assert.strictEqual(finished + handedBack + cut, accepted.get(name))
      }
    }))
})
