import { PgBoss } from "pg-boss"
import { acknowledged, concurrency, type Job, NAME, offered, patience, say, taken, url } from "../said.js"

/** At its quickest: peers are woken, batches are taken without a pause, and a lost worker is missed after 10 s. */
const queue = { notify: true, heartbeatSeconds: 10 }
const options = { includeMetadata: true, batchSize: concurrency, burstWhenBatchFull: true } as const

const boss = new PgBoss(url)
boss.on("error", () => undefined)
await boss.start()
await boss.createQueue(NAME, queue)
if (offered.length > 0) await boss.insert(NAME, offered.map((data) => ({ data })))

await boss.work<Job>(NAME, options, async (jobs) => {
  for (const job of jobs) taken(job.data, job.retryCount + 1)
  if (jobs.some((job) => job.data.long)) await new Promise(() => {})
  // The batch is acknowledged a statement after this.
  for (const _ of jobs) acknowledged()
})
say("ready")

process.once("SIGTERM", () => {
  boss.stop({ graceful: true, timeout: patience }).finally(() => process.exit(0))
})
