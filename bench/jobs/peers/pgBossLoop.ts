/**
 * The tightest loop over pg-boss: one transaction for a batch of jobs. `INSERTS` is `each`: an insertion for each of them, or `together`: one
 * for all of them.
 */
import { setTimeout } from "node:timers/promises"
import pg from "pg"
import { PgBoss } from "pg-boss"
import { concurrency, type Job, jobAcknowledged, jobStarted, NAME, offeredJobs, printLine, url } from "../program.js"

const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false })
boss.on("error", () => undefined)
await boss.start()
await boss.createQueue(NAME)
if (offeredJobs.length > 0) await boss.insert(NAME, offeredJobs.map((data) => ({ data })))
const client = new pg.Client(url)
await client.connect()
const db = { executeSql: (text: string, values?: Array<unknown>) => client.query(text, values) }
const together = process.env["INSERTS"] === "together"
printLine("ready")

for (;;) {
  const jobs = await boss.fetch<Job>(NAME, { batchSize: concurrency })
  if (jobs.length === 0) {
    await setTimeout(10)
    continue
  }
  const ids = jobs.map(({ id }) => id)
  await client.query("BEGIN")
  for (const { data, id } of jobs) {
    jobStarted(data, 1)
    if (!together) await client.query("INSERT INTO results VALUES ($1)", [id])
  }
  if (together) await client.query("INSERT INTO results SELECT unnest($1::text[])", [ids])
  await boss.complete(NAME, ids, null, { db })
  await client.query("COMMIT")
  for (const _ of jobs) jobAcknowledged()
}
