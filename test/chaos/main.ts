// npm run chaos -- --rounds 10 --seed 1 --engine postgres
import * as Fs from "node:fs"
import { parseArgs } from "node:util"
import { endRun } from "../kit/programs.js"
import { formatFailure, play } from "./round.js"
import { type Engine, engines, formatSchedule, scheduleOf } from "./schedule.js"
import { serversOf } from "./servers.js"

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    engine: { type: "string", default: "postgres" }
  }
})

const engine = values.engine as Engine
if (!engines.includes(engine)) throw new Error(`--engine must be one of ${engines.join(", ")}`)
const servers = serversOf(engine)
if (typeof servers === "string") throw new Error(servers)
await servers.create()
const failed: Array<number> = []
let played = 0
let stopped = false
process.once("SIGINT", () => {
  stopped = true
  console.log("stopping after this round")
})
try {
  for (let nth = 1; nth <= Number(values.rounds) && !stopped; nth++) {
    const schedule = scheduleOf(engine, Number(values.seed) + nth - 1)
    const began = Date.now()
    console.log(`round ${nth}: ${formatSchedule(schedule)}`)
    const round = await play(schedule, servers, nth)
    played++
    const { dead, effects, redriven } = round.ledger
    const counts = `${effects.length} effects, ${dead.length} dead letters, ${redriven.length} redriven`
    console.log(`  ${counts}, ${round.lives.length} processes, ${Date.now() - began} ms`)
    if (round.violations.length === 0) Fs.rmSync(round.folder, { recursive: true })
    else {
      failed.push(schedule.seed)
      console.log(formatFailure(round))
    }
  }
} finally {
  await servers.remove()
  endRun()
}
console.log(
  failed.length === 0
    ? `${played} rounds: no job lost, none done twice`
    : `failed with the seeds ${failed.join(", ")}`
)
process.exitCode = failed.length === 0 ? 0 : 1
