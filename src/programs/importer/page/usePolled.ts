/**
 * What is read again every two seconds, while the page is looked at.
 */
import { useEffect, useRef, useState } from "preact/hooks"
import { messageOf } from "./api.js"

export interface Polled<A> {
  /** The last that was read; undefined before the first response. */
  readonly value: A | undefined
  /** Why it could not be read the last time, or why an action failed. */
  readonly error: string | undefined
  /** Does something, and reads again. */
  readonly act: (action: () => Promise<unknown>) => Promise<void>
}

const interval = 2000

/** Begins anew when `returns` changes: the service is back. */
export const usePolled = <A>(read: () => Promise<A>, returns: number): Polled<A> => {
  const [value, setValue] = useState<A>()
  const [error, setError] = useState<string>()
  /** The number of the last read: an earlier one that ends after it is dropped. */
  const reads = useRef(0)

  const refresh = async () => {
    const number = ++reads.current
    const set = await read().then(
      (found) => () => {
        setValue(() => found)
        setError(undefined)
      },
      (error) => () => setError(messageOf(error))
    )
    if (number === reads.current) set()
  }

  const act = async (action: () => Promise<unknown>) => {
    const failed = await action().then(() => undefined, messageOf)
    await refresh()
    if (failed !== undefined) setError(failed)
  }

  useEffect(() => {
    const poll = () => document.hidden ? undefined : void refresh()
    poll()
    const timer = setInterval(poll, interval)
    return () => clearInterval(timer)
  }, [returns])

  return { value, error, act }
}
