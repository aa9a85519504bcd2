/**
 * Follows the lifecycle of the service, also from one process to the next.
 */
import { useEffect, useState } from "preact/hooks"
import type { Service } from "./api.js"

export interface Connection {
  /** The last that was heard; undefined before the first time. */
  readonly service: Service | undefined
  /** When it was heard, in milliseconds of the page. */
  readonly heardAt: number
  /** Since when the service does not answer; undefined while it does. */
  readonly awaySince: number | undefined
  /** How often it came back, and how long it was away the last time. */
  readonly returns: number
  readonly lastAway: number
}

const unknown: Connection = { service: undefined, heardAt: 0, awaySince: undefined, returns: 0, lastAway: 0 }

const heard = (service: Service, now: number) => (before: Connection): Connection => ({
  service,
  heardAt: now,
  awaySince: undefined,
  ...(before.awaySince === undefined
    ? { returns: before.returns, lastAway: before.lastAway }
    : { returns: before.returns + 1, lastAway: now - before.awaySince })
})

const lost = (now: number) => (before: Connection): Connection =>
  before.awaySince === undefined ? { ...before, awaySince: now } : before

/** Whether the service does not load now: it stops, or does not answer. */
export const isStopping = ({ awaySince, service }: Connection): boolean =>
  awaySince !== undefined || service?.state === "LameDuck" || service?.state === "Draining"

export const useService = (): Connection => {
  const [connection, setConnection] = useState(unknown)
  useEffect(() => {
    let source: EventSource | undefined
    let again: ReturnType<typeof setTimeout> | undefined
    const close = () => {
      clearTimeout(again)
      source?.close()
    }
    const open = () => {
      close()
      const opened = new EventSource("/service/events")
      source = opened
      opened.addEventListener(
        "service",
        ({ data }: MessageEvent<string>) => setConnection(heard(JSON.parse(data) as Service, performance.now()))
      )
      opened.onerror = () => {
        setConnection(lost(performance.now()))
        // A browser reconnects by itself, unless it got another response than a stream.
        if (opened.readyState === EventSource.CLOSED) again = setTimeout(open, 1000)
      }
    }
    // A browser has six connections to a service: a page that is not looked at leaves them to others.
    const onVisibility = () => document.hidden ? close() : open()
    open()
    document.addEventListener("visibilitychange", onVisibility)
    return () => {
      close()
      document.removeEventListener("visibilitychange", onVisibility)
    }
  }, [])
  return connection
}

/** The time now, several times a second while it is wanted. */
export const useNow = (wanted: boolean): number => {
  const [now, setNow] = useState(performance.now())
  useEffect(() => {
    if (!wanted) return
    const timer = setInterval(() => setNow(performance.now()), 100)
    return () => clearInterval(timer)
  }, [wanted])
  return wanted ? Math.max(now, performance.now()) : now
}
