import { afterEach, assert, describe, it } from "vitest"
import { Child } from "../kit/child.js"
import { bundle, runFixture } from "../kit/programs.js"

const children: Array<Child> = []
const start = (mode: string, env: Record<string, string> = {}) => {
  const child = runFixture("launch/service.ts", { MODE: mode, GRACE_PERIOD: "2s", ...env })
  children.push(child)
  return child
}
afterEach(() => Promise.all(children.splice(0).map((child) => child.end())))

/** The lines that the fixture itself writes, in order. */
const linesOf = (child: Child) => child.output.split("\n").filter((line) => /^\w+ (draining|released)$/.test(line))

describe("launch, in a real process", () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    it(`drains on ${signal} and exits 0`, async () => {
      const child = start("quick")
      await child.waitFor(/running/)
      child.kill(signal)
      assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
      assert.deepStrictEqual(linesOf(child), ["worker draining", "worker released", "store draining", "store released"])
      assert.include(child.output, signal)
    })
  }

  it("ignores a duplicate of the signal", async () => {
    const child = start("leisurely", { GRACE_PERIOD: "25s", DUPLICATES: "60000" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    child.kill("SIGTERM")
    await child.waitFor(/worker draining/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.include(child.output, "duplicate, ignored")
  })

  it("interrupts a drain at a second signal, and still releases everything in order", async () => {
    const child = start("slow", { GRACE_PERIOD: "25s", DUPLICATES: "0" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    await child.waitFor(/worker draining/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), ["worker draining", "worker released", "store draining", "store released"])
  })

  it("exits at once at a third signal, with 128 + its number", async () => {
    const child = start("hungFinalizer", { GRACE_PERIOD: "25s", DUPLICATES: "0" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    await child.waitFor(/shutdown requested/)
    child.kill("SIGTERM")
    await child.waitFor(/expedit/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 143, signal: null })
  })

  it("abandons a hanging finalizer at the deadline, and runs the releases that wait for it", async () => {
    const child = start("hungFinalizer", { GRACE_PERIOD: "5s" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), ["store draining", "store released"])
    assert.include(child.output, "a finalizer that is not bounded by a Drain did not end")
  })

  it("logs a finalizer that dies, and exits 1", async () => {
    const child = start("dyingFinalizer")
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.include(child.output, "cannot flush")
    assert.deepStrictEqual(linesOf(child), ["store draining", "store released"])
  })

  it("interrupts the start at a signal, and releases what was acquired", async () => {
    const child = start("interruptibleAcquire")
    await child.waitFor(/acquiring/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.deepStrictEqual(linesOf(child), ["store draining", "store released"])
  })

  it("abandons an acquire that ignores its interruption in time to drain and release what was acquired", async () => {
    const child = start("hungAcquire")
    await child.waitFor(/acquiring/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), ["worker draining", "worker released", "store draining", "store released"])
    assert.match(
      child.output,
      /start Abandoned in \S+, 1 cut, an acquire ignored its interruption: a layer without a name/
    )
  })

  it("does not wait for an acquire that hangs at a second signal", async () => {
    const child = start("hungAcquire", { GRACE_PERIOD: "25s", DUPLICATES: "0" })
    await child.waitFor(/acquiring/)
    child.kill("SIGTERM")
    await child.waitFor(/shutdown requested/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), ["worker draining", "worker released", "store draining", "store released"])
    assert.match(child.output, /start Abandoned in 1(\.\d)?s/)
  })

  it("says why the start failed when it fails, while an acquire beside it hangs, and ends", async () => {
    const child = start("failedNeighbour")
    await child.waitFor(/cannot start: no such table: imports/)
    assert.notInclude(child.output, "released")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.deepStrictEqual(linesOf(child), ["worker draining", "worker released", "store draining", "store released"])
  })

  it("exits 1 after a failed start, with one line that says why", async () => {
    const child = start("failedStart")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.match(child.output, /cannot start: no such table: imports/)
    assert.notMatch(child.output, /\n\s+at /)
    assert.deepStrictEqual(linesOf(child), ["store draining", "store released"])
  })

  it("drains on an uncaught error, and exits 1", async () => {
    const child = start("uncaught")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.include(child.output, "uncaught on purpose")
    assert.deepStrictEqual(linesOf(child), ["store draining", "store released"])
  })

  it("drains on an unhandled rejection, and exits 1", async () => {
    const child = start("rejection")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.include(child.output, "rejected on purpose")
    assert.deepStrictEqual(linesOf(child), ["store draining", "store released"])
  })

  it("warns of a signal listener of other code, by its name", async () => {
    const child = start("foreignListener")
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.include(child.output, "a foreign SIGTERM listener (stealsSignals) is installed")
  })

  it("warns that signals to a package runner do not arrive", async () => {
    const child = start("quick", { npm_lifecycle_event: "start" })
    await child.waitFor(/started by a package runner \("start" script\)/)
  })

  it.runIf(process.platform === "linux")("warns that signals to a shell do not arrive", async () => {
    const child = new Child("sh", [
      "-c",
      `"$0" "$1"; true`,
      process.execPath,
      bundle("test/fixtures/launch/service.ts")
    ])
    children.push(child)
    await child.waitFor(/started by a shell/)
    const [, pid] = await child.waitFor(/pid (\d+)/)
    process.kill(Number(pid), "SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
  })

  it("exits although a timer is still active", async () => {
    const child = start("strayTimer")
    await child.waitFor(/running/)
    child.kill("SIGHUP")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
  })

  it("logs that the event loop was blocked", async () => {
    const child = start("blocked", { GRACE_PERIOD: "25s" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    await child.ended
    assert.match(child.output, /the event loop was blocked for [1-9][\d.]*s/)
  })

  // On a machine so busy that the program is blocked for twice as long as it means to be, the signal is no duplicate.
  it("ignores a duplicate that a blocked event loop has delayed", { retry: 2 }, async () => {
    // The signal is handled more than this after the first, and may have been sent less.
    const child = start("signalledWhileBlocked", { GRACE_PERIOD: "25s", DUPLICATES: "4900" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.include(child.output, "duplicate, ignored")
  })

  // On a machine so busy that the event loop is blocked when the signal comes, too, it is taken for one.
  it("takes a signal for no duplicate that came soon after the event loop was blocked", { retry: 2 }, async () => {
    const child = start("blockedAndSlow", { GRACE_PERIOD: "25s" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    await child.waitFor(/the event loop was blocked[^]*worker waits/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.include(child.output, "expedited")
  })

  for (
    const [variable, value, says] of [
      ["GRACE_PERIOD", "soon", /GRACE_PERIOD.*Expected a duration with its unit/],
      ["PRE_STOP_DELAY", "-1s", /PRE_STOP_DELAY.*Expected a duration with its unit/],
      ["PRE_STOP_DELAY", "24s", /leaves no time to drain: preStopDelay 24s \+ 200ms kept back/]
    ] as const
  ) {
    it(`refuses ${variable}=${value} with one line`, async () => {
      const child = start("quick", { [variable]: value })
      assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
      assert.match(child.output, says)
      assert.notMatch(child.output, /\n\s+at /)
    })
  }
})
