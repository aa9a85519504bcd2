// npm run chaos -- --rounds 10 --seed 1 --engine postgres
import * as Fs from "node:fs"
import { parseArgs } from "node:util"
import { explain } from "./explain.js"
import { play } from "./round.js"
import { type Engine, engines, scheduleOf, show } from "./schedule.js"
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
  console.log("this round is the last")
})
try {
  for (let nth = 1; nth <= Number(values.rounds) && !stopped; nth++) {
    const schedule = scheduleOf(engine, Number(values.seed) + nth - 1)
    const began = Date.now()
    console.log(`round ${nth}: ${show(schedule)}`)
    const round = await play(schedule, servers, nth)
    played++
    const { dead, effects, pardoned } = round.ledger
    const counts = `${effects.length} effects, ${dead.length} dead letters, ${pardoned.length} pardoned`
    console.log(`  ${counts}, ${round.lives.length} processes, ${Date.now() - began} ms`)
    if (round.problems.length === 0) Fs.rmSync(round.folder, { recursive: true })
    else {
      failed.push(schedule.seed)
      console.log(explain(round))
    }
  }
} finally {
  await servers.remove()
}
console.log(
  failed.length === 0
    ? `${played} rounds, nothing lost, nothing twice`
    : `failed with the seeds ${failed.join(", ")}`
)
process.exitCode = failed.length === 0 ? 0 : 1
