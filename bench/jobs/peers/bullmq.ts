import { Queue, Worker } from "bullmq"
import { Redis } from "ioredis"
import pg from "pg"
import {
  concurrency,
  type Job,
  jobAcknowledged,
  jobStarted,
  NAME,
  offeredJobs,
  postgresUrl,
  printLine,
  stopTimeout,
  url,
  writesRow
} from "../program.js"

const connection = new Redis(url, { maxRetriesPerRequest: null })
const queue = new Queue<Job>(NAME, { connection })
if (offeredJobs.length > 0) await queue.addBulk(offeredJobs.map((data) => ({ name: "job", data })))

const pool = new pg.Pool({ connectionString: postgresUrl, max: concurrency })
const worker = new Worker<Job>(
  NAME,
  async (job) => {
    jobStarted(job.data, job.attemptsStarted)
    if (job.data.long) await new Promise(() => {})
    if (writesRow) await pool.query({ name: "insert", text: "INSERT INTO results VALUES ($1)", values: [job.id] })
  },
  { connection, concurrency }
)
worker.on("completed", jobAcknowledged)
worker.on("error", () => undefined)
printLine("ready")

// close() waits for the job, and close(true) afterwards waits for that close(): only an exit ends it.
process.once("SIGTERM", () => {
  setTimeout(() => process.exit(0), stopTimeout)
  worker.close().finally(() => process.exit(0))
})
