/**
 * Which statements a connection has prepared in the server. `pg` prepares what has a name, keeps it for as long as the connection lives, and
 * fails when the server does not accept it any more; `PgClient` names, and so prepares, nothing.
 */
import { createHash } from "node:crypto"
import type { ClientInternals } from "./peers.js"

/**
 * One text has one name on every connection: a pooler may run it where another client has prepared a statement, which must then be the
 * same one.
 */
const nameFor = (text: string) => `lastcall_${createHash("sha256").update(text).digest("hex").slice(0, 40)}`

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
      const name = names.get(text) ?? nameFor(text)
      names.delete(text)
      names.set(text, name)
      return name
    },
    forget
  }
}

/**
 * Whether the server refuses to run a prepared statement that it would run unprepared: the columns of its result have changed,
 * something has deallocated it, or a pooler runs it where it was not prepared, or was prepared by another client.
 */
export const isStale = (error: Error): boolean => {
  const { code, routine } = error as { readonly code?: string; readonly routine?: string }
  return code === "26000" || code === "42P05" || (code === "0A000" && routine === "RevalidateCachedQuery")
}
