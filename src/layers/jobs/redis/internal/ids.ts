import { randomBytes } from "node:crypto"

/** The names of a queue's own keys, next to the keys of its jobs. */
const reserved = new Set(
  "active wait waiting-children paused id delayed prioritized stalled-check completed failed stalled repeat limiter meta events pc marker de"
    .split(" ")
)

const escape = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`

/**
 * Encodes an id for BullMQ's keys, where it must contain no colon and not be the name of another key. Most ids stay as they
 * are.
 */
export const encodeId = (id: string): string => {
  if (id === "") return "%7F"
  if (reserved.has(id)) return `${escape(id[0]!)}${id.slice(1)}`
  return id.replace(/%(?=[0-7][0-9A-F])|:/g, escape)
}

/** The inverse of `encodeId`. */
export const decodeId = (jobId: string): string =>
  jobId === "%7F" ? "" : jobId.replace(/%([0-7][0-9A-F])/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))

/**
 * Generates UUIDs of version 7, in increasing order within a process. Redis keeps dead letters of one millisecond in the
 * order of their ids, so these come in the order of their offers.
 */
export const makeIds = (): (now: number) => string => {
  let last = 0
  let counter = 0
  return (now) => {
    counter = now > last ? 0 : counter + 1
    last = Math.max(now, last) + (counter > 0xfff ? 1 : 0)
    counter &= 0xfff
    const time = last.toString(16).padStart(12, "0")
    const random = randomBytes(8)
    random[0] = 0x80 | (random[0]! & 0x3f)
    const rest = random.toString("hex")
    const nth = counter.toString(16).padStart(3, "0")
    return `${time.slice(0, 8)}-${time.slice(8)}-7${nth}-${rest.slice(0, 4)}-${rest.slice(4)}`
  }
}
