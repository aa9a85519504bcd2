import type { Progress, Resource } from "../Shutdown.js"

type Observers = Pick<Resource, "progress" | "condition">

/** The progress of a resource that counts no work. */
export const idle: Progress = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

/** The name of the error without its message: `/readyz` shows it to its callers. */
const thrown = (observer: keyof Observers, error: unknown): string =>
  `its ${observer} throws ${error instanceof Error ? error.name : "a value that is no Error"}`

/** The observers of a resource, which never throw: one that does becomes the condition of the resource, and counts no work. */
export const safeObservers = <A extends Observers>(resource: A): A => ({
  ...resource,
  progress: () => {
    try {
      return resource.progress()
    } catch {
      return idle
    }
  },
  condition: () => {
    let present: string | undefined
    try {
      present = resource.condition()
    } catch (error) {
      return thrown("condition", error)
    }
    try {
      resource.progress()
      return present
    } catch (error) {
      return present ?? thrown("progress", error)
    }
  }
})

/** A report is for people to read. */
const maxNames = 10

/** The names of work in flight in brackets, after a space; empty if there are none. Never throws. */
export const nameList = (names: () => ReadonlyArray<string>): string => {
  try {
    const all = names()
    const shown = all.length > maxNames ? [...all.slice(0, maxNames), `${all.length - maxNames} more`] : all
    return shown.length === 0 ? "" : ` (${shown.join(", ")})`
  } catch {
    return ""
  }
}
