// Members of one group in three processes, with faults in them and in their brokers. LASTCALL_ROUNDS=50 plays 50 rounds, and
// LASTCALL_SEED the schedules of an earlier run.
import * as Fs from "node:fs"
import { assert, describe, test } from "vitest"
import { cannot } from "../../kit/cannot.js"
import { hasKafka } from "../../kit/kafkaServer.js"
import { throwaway } from "../../kit/postgresServer.js"
import { seed } from "../../kit/random.js"
import { formatFailure, play } from "./round.js"
import { formatSchedule, scheduleOf } from "./schedule.js"

const rounds = Number(process.env["LASTCALL_ROUNDS"] ?? 2)
const postgres = hasKafka() ? throwaway() : "there is no mock cluster of Kafka here: install kcat"

if (typeof postgres === "string") cannot("chaos of Kafka", postgres)
else {
  describe("chaos of Kafka", () => {
    test("every record has one effect, in the order of its key, or is a dead letter that must be one", async () => {
      await postgres.create()
      const failures: Array<string> = []
      try {
        for (let nth = 0; nth < rounds; nth++) {
          const schedule = scheduleOf(seed + nth)
          console.log(formatSchedule(schedule))
          const began = Date.now()
          const round = await play(schedule, postgres)
          const { dead, effects, lives, violations } = round
          console.log(
            `  ${effects.length} effects, ${dead.length} dead letters, ${lives.length} processes, ${
              Date.now() - began
            } ms`
          )
          if (violations.length === 0) Fs.rmSync(round.folder, { recursive: true })
          else {
            failures.push(formatFailure(round))
            console.log(failures.at(-1))
          }
        }
      } finally {
        await postgres.remove()
      }
      assert.isEmpty(failures, failures.join("\n"))
    }, rounds * 240_000)
  })
}
