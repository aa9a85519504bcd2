// The short form of `npm run chaos`.
import * as Fs from "node:fs"
import { assert, describe, test } from "vitest"
import { cannot } from "../kit/cannot.js"
import { explain } from "./explain.js"
import { play } from "./round.js"
import { type Engine, scheduleOf, show } from "./schedule.js"
import { serversOf } from "./servers.js"

const seed = Number(process.env["LASTCALL_SEED"] ?? Date.now() % 1_000_000)

const rounds: ReadonlyArray<readonly [Engine, number]> = [["postgres", 3], ["redis", 2], ["pglite", 2]]

// One after the other: the audit of an embedded database holds up whatever else this process does.
describe("chaos", () => {
  for (const [engine, count] of rounds) {
    const servers = serversOf(engine)
    if (typeof servers === "string") {
      cannot(`chaos on ${engine}`, servers)
      continue
    }
    test(`on ${engine}, every accepted job has one effect, or is a dead letter that should be one`, async () => {
      try {
        await servers.create()
        for (let nth = 1; nth <= count; nth++) {
          const schedule = scheduleOf(engine, seed + nth - 1)
          console.log(show(schedule))
          const round = await play(schedule, servers, nth)
          assert.isEmpty(round.problems, explain(round))
          Fs.rmSync(round.folder, { recursive: true })
        }
      } finally {
        await servers.remove()
      }
    })
  }
})
