/**
 * The state of the service, and its deadline while it stops.
 */
import { duration } from "./format.js"
import { type Connection, useNow } from "./useService.js"

const states = ["Starting", "Running", "LameDuck", "Draining", "Stopped"] as const

const labels = {
  Starting: "Starting",
  Running: "Running",
  LameDuck: "Lame duck",
  Draining: "Draining",
  Stopped: "Stopped"
}

/** What is happening, in a sentence; undefined while there is nothing to say. */
const sentence = ({ awaySince, lastAway, returns, service }: Connection, now: number): string | undefined => {
  if (awaySince !== undefined) {
    const away = `no answer for ${duration(Math.floor((now - awaySince) / 1000) * 1000 || 0)}`
    return service === undefined || service.state === "Running"
      ? `The service is unreachable: ${away}. Trying again.`
      : `The service has stopped accepting: ${away}. The page reconnects to the next one.`
  }
  if (service?.state === "LameDuck") return "A shutdown was requested. The service still accepts."
  if (service?.state === "Draining") {
    return "Nothing new is accepted. What is in flight is finished; jobs that cannot finish are handed back."
  }
  return returns > 0 ? `Reconnected after ${duration(lastAway)}. Imports go on from their last checkpoint.` : undefined
}

const Deadline = ({ connection: { heardAt, service }, now }: { connection: Connection; now: number }) => {
  const remaining = service?.remaining
  if (service === undefined || remaining === null || remaining === undefined) return null
  const left = Math.max(0, remaining - (now - heardAt))
  const whole = service.gracePeriod ?? left
  return (
    <p class="deadline">
      <progress max={whole} value={left} aria-label="Time left of the shutdown" />
      <span>
        <b>{(left / 1000).toFixed(1)} s</b> of {duration(whole)} left
      </span>
    </p>
  )
}

export const Header = ({ connection }: { connection: Connection }) => {
  const { awaySince, service } = connection
  const stopping = service !== undefined && service.remaining !== null
  const now = useNow(stopping || awaySince !== undefined)
  const state = awaySince === undefined ? service?.state : stopping ? "Stopped" : "away"
  const said = sentence(connection, now)
  return (
    <header data-state={state ?? "connecting"}>
      <div class="bar">
        <h1>
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M16 4a2 2 0 0 1 2 2v.9a8.4 8.4 0 0 1 6.4 8.1v4.7l2.4 3.4H5.2l2.4-3.4V15A8.4 8.4 0 0 1 14 6.9V6a2 2 0 0 1 2-2Z" />
            <path d="M12.8 25h6.4a3.2 3.2 0 0 1-6.4 0Z" />
          </svg>
          Importer
        </h1>
        <ol class="states" aria-label="Lifecycle">
          {states.map((name, index) => (
            <li
              key={name}
              aria-current={name === state ? "step" : undefined}
              class={index < states.findIndex((name) => name === state) ? "past" : undefined}
            >
              {labels[name]}
            </li>
          ))}
        </ol>
        <a href="/docs">API</a>
      </div>
      <div class="said" role="status">
        {state === undefined ? <p>Connecting to the service …</p> : said !== undefined && <p>{said}</p>}
      </div>
      {awaySince === undefined && <Deadline connection={connection} now={now} />}
    </header>
  )
}
