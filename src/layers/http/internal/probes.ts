import type { Conditions } from "../../../core/Shutdown.js"
import type { LifecycleState } from "../../../core/ShutdownReport.js"

export type Probe = "livez" | "readyz"

/** The path of each probe; `false` leaves it to the app. */
export interface Paths {
  readonly livez: string | false
  readonly readyz: string | false
}

export interface Answer {
  readonly status: 200 | 503
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * Alive as long as the event loop answers; ready only while `Running`. Failing liveness would have it killed mid-drain.
 * Conditions are told, and change no status: what one instance waits for they all do, and then none would be ready.
 */
export const answer = (probe: Probe, state: LifecycleState, conditions: Conditions = {}): Answer => {
  const body = JSON.stringify(
    probe === "livez" || Object.keys(conditions).length === 0 ? { state } : { state, conditions }
  )
  return {
    status: probe === "livez" || state === "Running" ? 200 : 503,
    headers: {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "cache-control": "no-store"
    },
    body
  }
}

const is = (url: string, path: string | false) =>
  path !== false && url.startsWith(path) && (url.length === path.length || url[path.length] === "?")

/** Which probe a request is, if any. On the way of every request: it allocates nothing. */
export const match = (paths: Paths, method: string | undefined, url: string): Probe | undefined => {
  if (method !== "GET" && method !== "HEAD") return undefined
  return is(url, paths.livez) ? "livez" : is(url, paths.readyz) ? "readyz" : undefined
}
