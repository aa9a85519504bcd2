import { Queue, Worker } from "bullmq"
import { Redis } from "ioredis"
import { acknowledged, concurrency, type Job, NAME, offered, patience, say, taken, url } from "../said.js"

const connection = new Redis(url, { maxRetriesPerRequest: null })
const queue = new Queue<Job>(NAME, { connection })
if (offered.length > 0) await queue.addBulk(offered.map((data) => ({ name: "job", data })))

const worker = new Worker<Job>(
  NAME,
  async (job) => {
    taken(job.data, job.attemptsStarted)
    if (job.data.long) await new Promise(() => {})
  },
  { connection, concurrency }
)
worker.on("completed", acknowledged)
worker.on("error", () => undefined)
say("ready")

// Closing waits for the job, and closing by force after that waits for the closing: what is left is to exit.
process.once("SIGTERM", () => {
  setTimeout(() => process.exit(0), patience)
  worker.close().finally(() => process.exit(0))
})
