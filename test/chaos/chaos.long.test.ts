// The short form of `npm run chaos`.
import * as Fs from "node:fs"
import { assert, describe, test } from "vitest"
import { cannot } from "../kit/cannot.js"
import { formatFailure, play } from "./round.js"
import { type Engine, formatSchedule, scheduleOf } from "./schedule.js"
import { serversOf } from "./servers.js"

const seed = Number(process.env["LASTCALL_SEED"] ?? Date.now() % 1_000_000)

const rounds: ReadonlyArray<readonly [Engine, number]> = [
  ["postgres", 3],
  ["redis", 2],
  ["nats", 2],
  ["rabbitmq", 2],
  ["pglite", 2]
]

// Sequential: to read an embedded database blocks everything else in this process.
describe("chaos", () => {
  for (const [engine, count] of rounds) {
    const servers = serversOf(engine)
    if (typeof servers === "string") {
      cannot(`chaos on ${engine}`, servers)
      continue
    }
    test(`every job that ${engine} accepts has one effect, or is a dead letter that must be one`, async () => {
      try {
        await servers.create()
        for (let nth = 1; nth <= count; nth++) {
          const schedule = scheduleOf(engine, seed + nth - 1)
          console.log(formatSchedule(schedule))
          const round = await play(schedule, servers, nth)
          assert.isEmpty(round.violations, formatFailure(round))
          Fs.rmSync(round.folder, { recursive: true })
        }
      } finally {
        await servers.remove()
      }
    })
  }
})
