import type { ClientInternals } from "./peers.js"

/** The texts that a connection remembers. A statement that the server keeps prepared takes some tens of kilobytes there. */
const capacity = 100

/** The statements that one connection has prepared in the server, by their texts: those that were sent last. */
interface PreparedStatements {
  /** The name to send the text by; none the first time, because most texts are sent once. */
  readonly nameOf: (text: string) => string | undefined
  readonly forget: (text: string) => void
}

export const makePreparedStatements = (client: ClientInternals): PreparedStatements => {
  /** In the order of their last use. */
  const names = new Map<string, string | undefined>()
  let prepared = 0

  const forget = (text: string) => {
    const name = names.get(text)
    names.delete(text)
    if (name === undefined) return
    delete client.connection.parsedStatements[name]
    // Answered along with the next statement.
    client.connection.close({ type: "S", name })
  }

  return {
    nameOf: (text) => {
      if (!names.has(text)) {
        names.set(text, undefined)
        if (names.size > capacity) forget(names.keys().next().value!)
        return undefined
      }
      const name = names.get(text) ?? `lastcall_${prepared++}`
      names.delete(text)
      names.set(text, name)
      return name
    },
    forget
  }
}

/**
 * Whether the server refuses to run a prepared statement that it would run unprepared: the columns of its result have changed, or
 * something has deallocated it.
 */
export const isStale = (error: Error): boolean => {
  const { code, routine } = error as { readonly code?: string; readonly routine?: string }
  return code === "26000" || (code === "0A000" && routine === "RevalidateCachedQuery")
}
