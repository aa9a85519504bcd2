import * as Fs from "node:fs"
import * as Os from "node:os"
import { processes } from "../../../core/Host.js"

/** Who holds a lock: a process, told from another that got the same number later by when it began. */
interface Holder {
  readonly pid: number
  readonly host: string
  /** In ticks since boot; empty where the platform does not tell. */
  readonly began: string
}

/** A lock that is held, or the process that holds it; none when the file says nothing that we understand. */
export type Claim =
  | { readonly _tag: "Held"; readonly release: () => void }
  | { readonly _tag: "Refused"; readonly path: string; readonly by: Holder | undefined }

/** When a process began, as Linux tells; `gone` for one that has died and was not collected yet. */
const beganAt = (pid: number): string => {
  try {
    const stat = Fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" || fields[0] === "X" ? "gone" : fields[19] ?? ""
  } catch {
    return ""
  }
}

const self = (): Holder => ({ pid: processes.pid(), host: Os.hostname(), began: beganAt(processes.pid()) })

/** A process of another machine, or container, cannot be seen from here: it lives until somebody says otherwise. */
const lives = (holder: Holder): boolean => {
  if (holder.host !== Os.hostname()) return true
  if (!processes.exists(holder.pid)) return false
  const began = beganAt(holder.pid)
  return began === "" || holder.began === "" || began === holder.began
}

const read = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

const parse = (text: string): Holder | undefined => {
  try {
    const { began, host, pid } = JSON.parse(text) as Holder
    return Number.isInteger(pid) && typeof host === "string" && typeof began === "string"
      ? { pid, host, began }
      : undefined
  } catch {
    return undefined
  }
}

/** Creates `path` with all of its content, or not at all. */
const create = (path: string, text: string): boolean => {
  const draft = `${path}.${processes.pid()}.draft`
  Fs.writeFileSync(draft, text)
  try {
    Fs.linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  } finally {
    Fs.rmSync(draft, { force: true })
  }
}

/**
 * Takes the lock, unless a live process holds it. The lock of a dead one is taken over by whoever holds the lock on
 * that lock, which is named after the dead process and taken in the same way: of several that compete, one goes on.
 */
export const claim = (path: string): Claim => {
  const mine = JSON.stringify(self())
  for (;;) {
    if (create(path, mine)) return { _tag: "Held", release: () => Fs.rmSync(path, { force: true }) }
    const text = read(path)
    if (text === undefined) continue
    const holder = parse(text)
    if (holder === undefined || lives(holder)) return { _tag: "Refused", path, by: holder }
    const guard = claim(`${path}.${holder.pid}-${holder.began}`)
    if (guard._tag === "Refused") return guard
    try {
      // Nobody but the holder of the guard touches a dead process's lock.
      if (read(path) === text) Fs.rmSync(path)
    } finally {
      guard.release()
    }
  }
}
