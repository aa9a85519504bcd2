// Who sends the jobs: again and again until they are accepted, or once without looking back.
import { setTimeout as sleep } from "node:timers/promises"
import type { Fleet } from "./fleet.js"
import type { Batch } from "./schedule.js"

/** How long a request may take. A frozen service answers nobody, and a machine that is busy takes its time. */
const patience = 4_000

const accepted = async (url: string, body: unknown): Promise<boolean> => {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patience)
    })
    await response.arrayBuffer()
    return response.status === 202
  } catch {
    return false
  }
}

/** Whether a batch was answered as accepted. Without that it may have been accepted all the same. */
export const send = async (fleet: Fleet, batch: Batch, nth: number, until: number): Promise<boolean> => {
  for (let ask = nth; Date.now() < until; ask++) {
    const urls = fleet.urls()
    if (urls.length > 0) {
      if (await accepted(`${urls[ask % urls.length]}/jobs`, batch.jobs)) return true
      if (batch.careless) return false
    }
    await sleep(50)
  }
  return false
}

/** Asks every process, once. */
export const pardon = (fleet: Fleet): Promise<unknown> =>
  Promise.all(fleet.urls().map((url) => accepted(`${url}/pardon`, {})))

/** What the engine still holds besides dead letters, if a service answers. */
export const leftovers = async (fleet: Fleet): Promise<ReadonlyArray<string> | undefined> => {
  for (const url of fleet.urls()) {
    try {
      const response = await fetch(`${url}/leftovers`, { signal: AbortSignal.timeout(patience) })
      if (response.ok) return await response.json() as ReadonlyArray<string>
    } catch {
      // Another one may answer.
    }
  }
  return undefined
}
