import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Logger, LogLevel } from "effect"
import { beforeAll } from "vitest"
import { long } from "../kit/long.js"
import { virtually } from "../kit/virtually.js"
import { type Graph, graph, type Observed, run } from "./randomGraph.js"

const runs = long ? 1_000 : 400
const large = long ? 2000 : 100
const seed = Date.now()

type Law = (observed: Observed, graph: Graph) => void

const observe = (graph: Graph): Promise<Observed> =>
  run(graph).pipe(virtually, Logger.withMinimumLogLevel(LogLevel.None), Effect.runPromise)

const observations: Array<{ readonly graph: Graph; readonly observed: Observed }> = []

beforeAll(async () => {
  for (const sample of FastCheck.sample(graph, { numRuns: runs, seed })) {
    observations.push({ graph: sample, observed: await observe(sample) })
  }
}, 600_000)

/** Checks the law on all observations. If one violates it, finds and shows the smallest counterexample. */
const holds = async (law: Law) => {
  try {
    for (const { graph, observed } of observations) law(observed, graph)
  } catch {
    await FastCheck.assert(
      FastCheck.asyncProperty(graph, async (graph) => law(await observe(graph), graph)),
      { numRuns: runs, seed }
    )
    throw new Error(`the law failed with seed ${seed} and held on the second run: it is not deterministic`)
  }
}

const isReleasedInOrder: Law = ({ report, violations }) => {
  const abandoned = new Set(report.drains.filter((_) => _.outcome === "Abandoned").map((_) => _.name))
  assert.deepStrictEqual(violations.filter(({ by }) => !abandoned.has(by)), [])
}

const endsInTime: Law = ({ deadline, ended, report }, { nodes }) => {
  assert.isAtMost(ended, deadline)
  assert.sameMembers(
    report.drains.map((_) => _.name).filter((name) => !name.endsWith(" daemons")),
    nodes.map((_, index) => `n${index}`)
  )
}

const accountsForWork: Law = ({ accepted, daemons, report }) => {
  for (const { cut, finished, handedBack, name } of report.drains) {
    if (!daemons.has(name)) assert.strictEqual(finished + handedBack + cut, accepted.get(name))
  }
  for (const [name, { finished, interrupted, running }] of daemons) {
    const drain = report.drains.find((drain) => drain.name === name)
    assert.strictEqual(drain?.cut ?? 0, running)
    assert.strictEqual(drain?.reason !== undefined, interrupted + running > 0)
    assert.isAtMost(drain?.finished ?? 0, finished)
  }
}

/** Graphs beside each other, as one. */
const together = (graphs: ReadonlyArray<Graph>): Graph => {
  const nodes: Array<Graph["nodes"][number]> = []
  for (const graph of graphs) {
    const offset = nodes.length
    nodes.push(...graph.nodes.map((node) => ({ ...node, needs: node.needs.map((need) => offset + need) })))
  }
  return { ...graphs[0]!, nodes }
}

describe(`laws, on ${runs} random layer graphs`, () => {
  it("law 1: no resource is released while a dependent still works, unless the dependent is Abandoned", () =>
    holds(isReleasedInOrder))

  it("law 2: every wait is bounded, and the process ends by its deadline", () => holds(endsInTime))

  it("law 3: accepted work is finished, handed back, or reported as cut", () => holds(accountsForWork))

  it(`all of them hold for a service of ${large} resources`, async () => {
    const graphs = FastCheck.sample(graph, { numRuns: large, seed })
    let count = 0
    const service = together(graphs.filter(({ nodes }) => (count += nodes.length) <= large))
    const observed = await observe(service)
    for (const law of [isReleasedInOrder, endsInTime, accountsForWork]) law(observed, service)
  }, 600_000)
})
