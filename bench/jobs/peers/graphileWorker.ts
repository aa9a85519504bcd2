import { Logger, makeWorkerUtils, run } from "graphile-worker"
import {
  concurrency,
  type Job,
  jobAcknowledged,
  jobStarted,
  NAME,
  offeredJobs,
  printLine,
  url,
  writesRow
} from "../program.js"

const logger = new Logger(() => () => undefined)
const utils = await makeWorkerUtils({ connectionString: url, schema: NAME, logger })
await utils.migrate()
await utils.addJobs(offeredJobs.map((payload) => ({ identifier: "job", payload })))
await utils.release()

/** Tuned: jobs are claimed 500 at a time, and those that end in one turn are acknowledged together. */
const runner = await run({
  connectionString: url,
  noHandleSignals: true,
  preset: {
    worker: {
      schema: NAME,
      logger,
      concurrentJobs: concurrency,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0
    }
  },
  taskList: {
    job: async (payload, { job, withPgClient }) => {
      jobStarted(payload as Job, job.attempts)
      if (writesRow) await withPgClient((client) => client.query("INSERT INTO results VALUES ($1)", [job.id]))
    }
  }
})
runner.events.on("job:success", jobAcknowledged)
printLine("ready")
