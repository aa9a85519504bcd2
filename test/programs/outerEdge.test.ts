import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterEach, assert, describe, it } from "vitest"
import type { ShutdownReport } from "../../src/core/ShutdownReport.js"
import type { Child } from "../kit/child.js"
import { runFixture } from "../kit/programs.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"

const children: Array<Child> = []
const folders = new Map<Child, string>()
const start = (mode: string, env: Record<string, string> = {}) => {
  const folder = temporaryFolder()
  const child = runFixture("launch/outer.ts", { MODE: mode, SHUTDOWN_REPORT: Path.join(folder, "report.json"), ...env })
  children.push(child)
  folders.set(child, folder)
  return child
}
afterEach(() => Promise.all(children.splice(0).map((child) => child.end())))

/** Starts the program, and stops it with the signal. */
const stop = async (mode: string, signal: NodeJS.Signals, env: Record<string, string> = {}) => {
  const child = start(mode, env)
  await child.waitFor(/running;/)
  child.kill(signal)
  return { child, ended: await child.ended }
}

/** The lines that the fixture itself writes, in order. */
const linesOf = (child: Child) =>
  child.output.split("\n").filter((line) => /^(\w+ (draining|released|ran)|tapped \w+)$/.test(line))

/** The report of each launch. */
const reportsOf = (child: Child) => {
  const folder = folders.get(child)!
  return Fs.readdirSync(folder).toSorted((a, b) => a.length - b.length).map((name) =>
    JSON.parse(Fs.readFileSync(Path.join(folder, name), "utf8")) as typeof ShutdownReport.Encoded
  )
}

/** The report of each launch: the cause, the resources with their outcomes, and the exit code. */
const resultsOf = (child: Child) =>
  reportsOf(child).map(({ cause, drains, exitCode }) => [
    cause,
    ...drains.map(({ name, outcome }) => `${name} ${outcome}`),
    exitCode
  ])

const drained = ["worker draining", "worker released"]
const outside = ["exporter released", "ensuring ran"]

describe("what is provided outside of launch, in a real process", () => {
  for (
    const [runner, mode] of [
      ["runMain", "exporter"],
      ["Effect.runFork", "runFork"],
      ["Effect.runPromise, whose caller exits 0", "runPromise"]
    ] as const
  ) {
    for (const signal of ["SIGTERM", "SIGHUP"] as const) {
      it(`is released at ${signal} before the process ends, under ${runner}`, async () => {
        const { child, ended } = await stop(mode, signal)
        assert.deepStrictEqual(ended, { code: 0, signal: null })
        assert.deepStrictEqual(linesOf(child), [...drained, ...outside])
        assert.match(child.output, /outer Drained in \d{3}ms/)
        assert.deepStrictEqual(resultsOf(child), [[signal, "worker Drained", "outer Drained", 0]])
      })
    }
  }

  it("is not in the report when there is nothing", async () => {
    const { child, ended } = await stop("plain", "SIGTERM")
    assert.deepStrictEqual(ended, { code: 0, signal: null })
    assert.notInclude(child.output, "outer")
  })

  it("is released after Shutdown.begin", async () => {
    const child = start("begin")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.deepStrictEqual(linesOf(child), [...drained, ...outside])
  })

  it("is released after a launch on a child fiber, which the main fiber does not wait for", async () => {
    const child = start("forked")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.deepStrictEqual(linesOf(child), [...drained, ...outside])
  })

  // On a machine so busy that the exit does not come within half a second of the deadline, the process is killed.
  it("is abandoned at the deadline when it hangs, and the report says so", { retry: 2 }, async () => {
    const { child, ended } = await stop("hung", "SIGTERM", { GRACE_PERIOD: "1s" })
    assert.deepStrictEqual(ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), drained)
    assert.deepStrictEqual(resultsOf(child), [["SIGTERM", "worker Drained", "outer Abandoned", 1]])
    const [report] = reportsOf(child)
    assert.strictEqual(report!.drains[1]!.reason, "what is provided outside of launch was not released in time")
    assert.isBelow(report!.elapsed, 5_000)
  })

  it("makes the exit code 1 when a finalizer of it dies, which is logged", async () => {
    const { child, ended } = await stop("dying", "SIGTERM")
    assert.deepStrictEqual(ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), [...drained, "ensuring ran"])
    assert.match(child.output, /what is provided outside of launch failed\n.*cannot flush/)
    assert.deepStrictEqual(reportsOf(child)[0]!.drains[1]!.failure, "cannot flush")
  })

  for (const mode of ["failing", "silent"]) {
    it(`is released after a failed start, which a tap sees and one line explains (${mode})`, async () => {
      const child = start(mode)
      assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
      assert.deepStrictEqual(linesOf(child), [...outside, "tapped Fail"])
      assert.match(child.output, /cannot start: no such table: imports/)
      assert.notMatch(child.output, /\n\s+at /)
    })
  }

  it("is released after options that are refused", async () => {
    const child = start("exporter", { GRACE_PERIOD: "soon" })
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), [...outside, "tapped Fail"])
    assert.match(child.output, /GRACE_PERIOD.*Expected a duration with its unit/)
    assert.notMatch(child.output, /\n\s+at /)
  })

  it("cannot launch again: a retry after a failure ends", async () => {
    const child = start("retry")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), [...outside, "tapped Interrupt"])
  })

  it("keeps the exit code 1 of a report, whatever the runner of the main fiber says", { retry: 2 }, async () => {
    for (const mode of ["cut", "teardown"]) {
      const { ended } = await stop(mode, "SIGTERM", { GRACE_PERIOD: "2s" })
      assert.deepStrictEqual(ended, { code: 1, signal: null }, mode)
    }
  })

  it("takes a higher exit code from the teardown of runMain", async () => {
    const { ended } = await stop("teardown42", "SIGTERM")
    assert.deepStrictEqual(ended, { code: 42, signal: null })
  })

  it("ignores a duplicate of a signal that only runMain handles", async () => {
    const child = start("sigtermOnly", { DUPLICATES: "60000" })
    await child.waitFor(/running;/)
    child.kill("SIGINT")
    await child.waitFor(/worker draining/)
    child.kill("SIGINT")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.include(child.output, "SIGINT duplicate, ignored")
    assert.deepStrictEqual(linesOf(child), [...drained, ...outside])
  })
})

describe("two launches in one process", () => {
  it("are drained side by side at a signal, each with its report, and the process ends with the last", async () => {
    const { child, ended } = await stop("two", "SIGTERM")
    assert.deepStrictEqual(ended, { code: 0, signal: null })
    assert.deepStrictEqual(linesOf(child).toSorted(), [
      "ensuring ran",
      "ensuring ran",
      "exporter released",
      "first released",
      "quick draining",
      "quick released",
      "slow draining",
      "slow released"
    ])
    assert.deepStrictEqual(resultsOf(child), [
      ["SIGTERM", "quick Drained", 0],
      ["SIGTERM", "slow Drained", "outer Drained", 0]
    ])
  })

  it("may share one main fiber", async () => {
    const { child, ended } = await stop("twoInOne", "SIGTERM")
    assert.deepStrictEqual(ended, { code: 0, signal: null })
    assert.deepStrictEqual(linesOf(child).slice(-3), ["slow released", ...outside])
    assert.deepStrictEqual(resultsOf(child), [
      ["SIGTERM", "quick Drained", 0],
      ["SIGTERM", "slow Drained", "outer Drained", 0]
    ])
  })

  it("stop together when one of them begins, and the reason names it", async () => {
    const child = start("oneBegins")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.deepStrictEqual(resultsOf(child), [["launch 2: enough", "slow Drained", 0], ["enough", 0]])
  })

  it("stop together when one of them cannot start, with the highest exit code", async () => {
    const child = start("oneFails")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.include(child.output, "cannot start: no such table: imports")
    assert.deepStrictEqual(linesOf(child), ["slow draining", ...outside, "tapped Fail", "slow released"])
    assert.deepStrictEqual(resultsOf(child), [["launch 2: failed to start", "slow Drained", 0], ["failed to start", 1]])
  })
})
