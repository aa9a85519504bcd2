// What becomes of clients in the middle of their requests when a service is told to stop. Nothing is dropped:
// no request that was written to a connection which the service had accepted is reset, closed or left unanswered.
import { assert, describe, it } from "vitest"
import { type Habits, Traffic } from "../kit/traffic.js"
import { startService } from "./trafficWorld.js"

const clients = 50
const rounds = process.env["LASTCALL_LONG"] === "1" ? 20 : 1

/**
 * Clients ask again within 60 ms here, much sooner than the linger of 200 ms by default; but not on a machine that has
 * other things to do. None of them makes use of it, so that it does not take longer.
 */
const IDLE_LINGER = "3 seconds"

/** Stops a service under traffic; how its process ended, and what was lost. */
const stopUnder = async (habits: Habits, answers: number) => {
  const { child, noticed, port } = await startService({ IDLE_LINGER })
  try {
    const traffic = new Traffic(port, clients, habits)
    await traffic.flows(answers)
    child.kill("SIGTERM")
    const tally = await traffic.ended
    const end = await child.ended
    return { tally, end, ...noticed() }
  } finally {
    await child.end()
  }
}

const kept: Record<string, Habits> = {
  "back to back": {},
  "with 50 ms of think time and a network of 5 ms each way": { think: 50, delay: 5 }
}

describe("a service that is told to stop", () => {
  for (const [how, habits] of Object.entries(kept)) {
    it(`drops nothing of ${clients} clients that keep their connections, ${how}`, async () => {
      for (let round = 0; round < rounds; round++) {
        const { end, tally } = await stopUnder(habits, 400)
        const { dropped, failed, told } = tally
        assert.deepStrictEqual({ dropped, failed, end }, { dropped: [], failed: [], end: { code: 0, signal: null } })
        assert.isAtLeast(told, clients)
      }
    })
  }

  it("answers every connection that it has accepted: what is lost never came to it", async () => {
    const { accepted, end, tally } = await stopUnder({ fresh: true, think: 5 }, 200)
    const { answered, dropped, established, failed, unheard } = tally
    assert.deepStrictEqual(
      { dropped, failed, answered, unheard: unheard.length, end },
      { dropped: [], failed: [], answered: accepted, unheard: established - accepted, end: { code: 0, signal: null } }
    )
  })
})
