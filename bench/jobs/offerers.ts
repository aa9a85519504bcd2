/** Offers jobs from this process to the programs under test. */
import { Queue } from "bullmq"
import { Layer, ManagedRuntime } from "effect"
import { Logger, makeWorkerUtils } from "graphile-worker"
import { Redis } from "ioredis"
import { PgBoss } from "pg-boss"
import { WorkerPool } from "../../dist/index.js"
import { sourceOf } from "./lastcallSource.js"
import type { Job } from "./program.js"
import { type Peer, postgres } from "./programs.js"

interface Offerer {
  /** Both complete when the jobs are committed. */
  readonly offer: (job: Job) => Promise<unknown>
  readonly offerAll: (jobs: ReadonlyArray<Job>) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

const pgBoss = async (name: string, url: string): Promise<Offerer> => {
  const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false })
  await boss.start()
  return {
    offer: (job) => boss.send(name, job),
    offerAll: (jobs) => boss.insert(name, jobs.map((data) => ({ data }))),
    close: () => boss.stop()
  }
}

const offerers: Record<string, (name: string, url: string, carried: boolean) => Promise<Offerer>> = {
  pgBoss,
  pgBossLoop: pgBoss,
  graphileWorker: async (name, url) => {
    const utils = await makeWorkerUtils({ connectionString: url, schema: name, logger: new Logger(() => () => undefined) })
    return {
      offer: (job) => utils.addJob("job", job),
      offerAll: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: "job", payload }))),
      close: async () => utils.release()
    }
  },
  bullmq: async (name, url) => {
    const connection = new Redis(url, { maxRetriesPerRequest: null })
    const queue = new Queue<Job>(name, { connection })
    await queue.waitUntilReady()
    return {
      offer: (job) => queue.add("job", job),
      offerAll: (jobs) => queue.addBulk(jobs.map((data) => ({ name: "job", data }))),
      close: () => queue.close().then(() => connection.quit())
    }
  },
  lastcall: async (name, url, carried) => {
    class Pool extends WorkerPool.Tag(name)<Pool, Job>() {}
    const source = sourceOf(url, carried ? postgres.url : undefined)
    const runtime = ManagedRuntime.make(Layer.provide(Pool.layerClient(), source))
    await runtime.runtime()
    return {
      offer: (job) => runtime.runPromise(Pool.offer(job)),
      offerAll: (jobs) => runtime.runPromise(Pool.offerAll(jobs)),
      close: () => runtime.dispose()
    }
  }
}

/** Offers jobs to the queue of a program that has begun. */
export const offererFor = ([, file, url, env]: Peer, name: string): Promise<Offerer> =>
  offerers[file]!(name, url, env?.["WORK"] === "row")
