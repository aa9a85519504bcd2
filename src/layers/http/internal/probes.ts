import type { Conditions } from "../../../core/Shutdown.js"
import type { LifecycleState } from "../../../core/ShutdownReport.js"

export type Probe = "livez" | "readyz"

/** The path of each probe; `false` leaves it to the app. */
export interface ProbePaths {
  readonly livez: string | false
  readonly readyz: string | false
}

export interface ProbeResponse {
  readonly status: 200 | 503
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const isReady = (state: LifecycleState, whileDraining: boolean): boolean =>
  state === "Running" || (whileDraining && (state === "LameDuck" || state === "Draining"))

/**
 * `livez` is 200 in every state: platforms restart a process that fails it, which would end a drain. `readyz` is 200 only
 * while `Running`, and with `readyWhileDraining` also later. Conditions change no status, because they usually hold for
 * every instance at once.
 */
export const probeResponse = (
  probe: Probe,
  state: LifecycleState,
  conditions: Conditions = {},
  readyWhileDraining = false
): ProbeResponse => {
  const body = JSON.stringify(
    probe === "livez" || Object.keys(conditions).length === 0 ? { state } : { state, conditions }
  )
  return {
    status: probe === "livez" || isReady(state, readyWhileDraining) ? 200 : 503,
    headers: {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "cache-control": "no-store"
    },
    body
  }
}

const hasPath = (url: string, path: string | false) =>
  path !== false && url.startsWith(path) && (url.length === path.length || url[path.length] === "?")

/** The probe that a request asks for, if any. Runs for every request, and allocates nothing. */
export const matchProbe = (paths: ProbePaths, method: string | undefined, url: string): Probe | undefined => {
  if (method !== "GET" && method !== "HEAD") return undefined
  return hasPath(url, paths.livez) ? "livez" : hasPath(url, paths.readyz) ? "readyz" : undefined
}
