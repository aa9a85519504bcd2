import { PgBoss } from "pg-boss"
import {
  concurrency,
  type Job,
  jobAcknowledged,
  jobStarted,
  NAME,
  offeredJobs,
  printLine,
  stopTimeout,
  url
} from "../program.js"

/**
 * The quickest settings: other workers are notified, also poll every 2 s because a job that is tried again notifies nobody, batches follow at once, a dead worker is detected
 * after 10 s.
 */
const queue = { notify: true, heartbeatSeconds: 10 }
const options = { includeMetadata: true, batchSize: concurrency, burstWhenBatchFull: true, notifyPollingIntervalSeconds: 2 } as const

const boss = new PgBoss({ connectionString: url, useListenNotify: true })
boss.on("error", () => undefined)
await boss.start()
await boss.createQueue(NAME, queue)
if (offeredJobs.length > 0) await boss.insert(NAME, offeredJobs.map((data) => ({ data })))

await boss.work<Job>(NAME, options, async (jobs) => {
  for (const job of jobs) jobStarted(job.data, job.retryCount + 1)
  if (jobs.some((job) => job.data.long)) await new Promise(() => {})
  // The batch is jobAcknowledged a statement after this.
  for (const _ of jobs) jobAcknowledged()
})
printLine("ready")

process.once("SIGTERM", () => {
  boss.stop({ graceful: true, timeout: stopTimeout }).finally(() => process.exit(0))
})
