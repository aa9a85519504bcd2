// Stops a service while clients send requests. No request is dropped: none that was written to a connection which the
// service had accepted is reset, closed or left without a response.
import { assert, describe, it } from "vitest"
import { long } from "../kit/long.js"
import { type Options, Traffic } from "../kit/traffic.js"
import { startService } from "./trafficWorld.js"

const clients = 50
const rounds = long ? 20 : 1

/**
 * Clients send their next request within 60 ms, much sooner than the default of 200 ms, but not on a busy machine. No
 * client waits for it to expire, so a longer one does not slow the test down.
 */
const IDLE_LINGER = "3 seconds"

/** Stops a service under traffic, after a number of responses. */
const stopUnderTraffic = async (options: Options, responses: number) => {
  const { accepted, child, port } = await startService({ IDLE_LINGER })
  try {
    const traffic = new Traffic(port, clients, options)
    await traffic.flows(responses)
    child.kill("SIGTERM")
    const tally = await traffic.ended
    const end = await child.ended
    return { tally, end, accepted: accepted() }
  } finally {
    await child.end()
  }
}

const optionsByName: Record<string, Options> = {
  "back to back": {},
  "with 50 ms of think time and a network of 5 ms each way": { think: 50, delay: 5 }
}

describe("a service that gets SIGTERM", () => {
  for (const [name, options] of Object.entries(optionsByName)) {
    it(`drops no request of ${clients} clients that keep their connections, ${name}`, async () => {
      for (let round = 0; round < rounds; round++) {
        const { end, tally } = await stopUnderTraffic(options, 400)
        const { dropped, failed, saidClose } = tally
        assert.deepStrictEqual({ dropped, failed, end }, { dropped: [], failed: [], end: { code: 0, signal: null } })
        assert.isAtLeast(saidClose, clients)
      }
    })
  }

  it("responds on every connection that it has accepted: lost requests never reached it", async () => {
    const { accepted, end, tally } = await stopUnderTraffic({ fresh: true, think: 5 }, 200)
    const { connections, dropped, droppedOnNew, failed, responses } = tally
    assert.deepStrictEqual(
      { dropped, failed, responses, droppedOnNew: droppedOnNew.length, end },
      {
        dropped: [],
        failed: [],
        responses: accepted,
        droppedOnNew: connections - accepted,
        end: { code: 0, signal: null }
      }
    )
  })
})
