/**
 * A list that is read page by page.
 */
import { useEffect, useRef, useState } from "preact/hooks"
import { messageOf, type Page } from "./api.js"

export interface Pages<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly loading: boolean
  readonly error: string | undefined
  /** Reads the next page; undefined when there is none. */
  readonly more: (() => void) | undefined
}

/** Begins anew when `version` changes. */
export const usePages = <Row>(read: (after: number) => Promise<Page<Row>>, version: unknown): Pages<Row> => {
  const [state, setState] = useState<Page<Row> & { readonly error?: string }>({ rows: [], next: 0 })
  const [loading, setLoading] = useState(true)

  /** The number of the last read: an earlier one that ends after it is dropped. */
  const reads = useRef(0)

  const load = async (before: Page<Row>) => {
    const number = ++reads.current
    setLoading(true)
    const found = await read(before.next ?? 0).then(
      ({ next, rows }) => ({ rows: [...before.rows, ...rows], next }),
      (error) => ({ ...before, error: messageOf(error) })
    )
    if (number !== reads.current) return
    setState(found)
    setLoading(false)
  }

  useEffect(() => void load({ rows: [], next: 0 }), [version])

  return {
    rows: state.rows,
    loading,
    error: state.error,
    more: state.next === null || loading ? undefined : () => void load(state)
  }
}
