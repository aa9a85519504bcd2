// The clients of a round: some repeat a request until it is accepted, some send it once.
import { setTimeout as sleep } from "node:timers/promises"
import type { Cluster } from "./cluster.js"
import type { Batch } from "./schedule.js"

/** A frozen process sends no response, and a busy machine sends it late. */
const requestTimeout = 4_000

const isAccepted = async (url: string, body: unknown): Promise<boolean> => {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(requestTimeout)
    })
    await response.arrayBuffer()
    return response.status === 202
  } catch {
    return false
  }
}

/** Whether the client got a response that accepts the batch. Without one, the batch may have been accepted all the same. */
export const send = async (cluster: Cluster, batch: Batch, nth: number, deadline: number): Promise<boolean> => {
  for (let request = nth; Date.now() < deadline; request++) {
    const urls = cluster.urls()
    if (urls.length > 0) {
      if (await isAccepted(`${urls[request % urls.length]}/jobs`, batch.jobs)) return true
      if (batch.sentOnce) return false
    }
    await sleep(50)
  }
  return false
}

/** Asks every process once to redrive the dead letters of failing jobs. */
export const redrive = (cluster: Cluster): Promise<unknown> =>
  Promise.all(cluster.urls().map((url) => isAccepted(`${url}/redrive`, {})))

/** What the engine holds besides dead letters, or undefined when no process responds. */
export const unfinished = async (cluster: Cluster): Promise<ReadonlyArray<string> | undefined> => {
  for (const url of cluster.urls()) {
    try {
      const response = await fetch(`${url}/unfinished`, { signal: AbortSignal.timeout(requestTimeout) })
      if (response.ok) return await response.json() as ReadonlyArray<string>
    } catch {
      // Another process may respond.
    }
  }
  return undefined
}
