import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { closeConnections } from "../../../../src/layers/http/internal/drainSteps.js"
import { Simulation } from "./simulation.js"

/** Two connections: one is idle after a request, one has a request in flight. */
const start = () => {
  const simulation = new Simulation()
  const [idle, busy] = [simulation.connect("idle"), simulation.connect("busy")]
  idle.request()!.finish()
  const request = busy.request()!
  request.sendHead()
  return { simulation, idle, busy, request, ...simulation }
}

describe("hibernation of a connection", () => {
  it("lasts from the end of a request to the next one", () => {
    const { busy, hibernating, idle, policy } = start()
    assert.deepStrictEqual([[...hibernating], [...policy.connections]], [[idle], [busy]])
    const request = idle.request()!
    assert.deepStrictEqual([[...hibernating], [...policy.connections]], [[], [busy, idle]])
    request.finish()
    assert.deepStrictEqual([[...hibernating], [...policy.connections]], [[idle], [busy]])
    assert.strictEqual(policy.openConnections, 1)
  })

  it("ends with lame duck, and begins again with the next app", () => {
    const { busy, hibernating, idle, policy, request } = start()
    policy.enterLameDuck()
    request.finish()
    assert.deepStrictEqual([[...hibernating], [...policy.connections]], [[], [busy, idle]])
    policy.enterRunning()
    idle.request()!.finish()
    assert.deepStrictEqual([[...hibernating], [...policy.connections]], [[idle], [busy]])
  })

  it.live("ends when all connections are closed, also without a drain", () =>
    Effect.gen(function*() {
      const { hibernating, policy, simulation } = start()
      yield* closeConnections(policy, Duration.zero)
      assert.deepStrictEqual(simulation.journal.slice(1), [
        "0 busy/1 is interrupted",
        "0 busy is destroyed",
        "0 idle is destroyed"
      ])
      assert.deepStrictEqual([hibernating.size, policy.openConnections], [0, 0])
    }))
})
