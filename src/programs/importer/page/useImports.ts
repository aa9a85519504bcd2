/**
 * The imports, followed while they proceed.
 */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import { type ImportItem, isFinal, listImports, messageOf } from "./api.js"
import { addSample, type Sample } from "./rate.js"

export interface Tracked {
  readonly item: ImportItem
  readonly samples: ReadonlyArray<Sample>
}

export interface Imports {
  /** Newest first; undefined before the first response. */
  readonly list: ReadonlyArray<Tracked> | undefined
  /** Why the list could not be read the last time. */
  readonly error: string | undefined
  readonly refresh: () => Promise<void>
}

/** The others are read with the list: a browser has six connections to a service. */
const maxStreams = 2
const refreshInterval = 2000

const track = (before: Tracked | undefined, item: ImportItem): Tracked => ({
  item,
  samples: item.status === "Loading" || before?.samples.length
    ? addSample(before?.samples ?? [], { at: performance.now(), done: item.rowsLoaded + item.rowsRejected })
    : []
})

const keep = (list: ReadonlyArray<Tracked> | undefined, id: string) => list?.find(({ item }) => item.id === id)

/** `returns` changes when the service is back: then the list is read at once. */
export const useImports = (returns: number): Imports => {
  const [list, setList] = useState<ReadonlyArray<Tracked>>()
  const [error, setError] = useState<string>()
  const streams = useRef(new Map<string, EventSource>()).current

  const refresh = useCallback(async () => {
    try {
      const items = await listImports()
      setList((before) => items.map((item) => track(keep(before, item.id), item)))
      setError(undefined)
    } catch (error) {
      setError(messageOf(error))
    }
  }, [])

  useEffect(() => {
    const poll = () => document.hidden ? undefined : void refresh()
    poll()
    const timer = setInterval(poll, refreshInterval)
    return () => clearInterval(timer)
  }, [returns])

  useEffect(() => {
    const open = (list ?? []).filter(({ item }) => !isFinal(item)).map(({ item }) => item.id)
    for (const [id, stream] of streams) {
      if (open.includes(id) && stream.readyState !== EventSource.CLOSED) continue
      stream.close()
      streams.delete(id)
    }
    // The oldest first: it is loaded first.
    for (const id of open.toReversed()) {
      if (streams.has(id) || streams.size >= maxStreams) continue
      const stream = new EventSource(`/imports/${id}/events`)
      streams.set(id, stream)
      stream.addEventListener("progress", ({ data }: MessageEvent<string>) => {
        const item = JSON.parse(data) as ImportItem
        setList((before) => before?.map((found) => found.item.id === item.id ? track(found, item) : found))
      })
    }
  }, [list])

  useEffect(() => () => streams.forEach((stream) => stream.close()), [])

  return { list, error, refresh }
}
