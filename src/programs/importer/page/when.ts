/**
 * Times relative to now.
 */
import { duration } from "./format.js"

/** How far a time is from now, in either direction, in whole seconds. */
export const ago = (iso: string, now = Date.now()): string => {
  const seconds = Math.round(Math.abs(now - Date.parse(iso)) / 1000)
  return seconds === 0 ? "less than a second" : duration(seconds * 1000).replace(/\.0 s$/, " s")
}
