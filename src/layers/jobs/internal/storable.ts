import { Duration } from "effect"
import type { OfferAllOptions } from "../JobSource.js"

/** Half of a surrogate pair: drivers send the same replacement character for each, so different ids would become one. */
const halfCharacter = /\p{Surrogate}/u

/** Why jobs cannot be offered with these ids. */
export const idsFault = (jobs: number, ids: ReadonlyArray<string>): Error | undefined => {
  if (ids.length !== jobs) return new Error(`there are ${jobs} jobs, but ${ids.length} ids`)
  const broken = ids.find((id) => halfCharacter.test(id))
  return broken === undefined ? undefined : new Error(`the id ${JSON.stringify(broken)} has half a surrogate pair`)
}

/** Whether PostgreSQL can store the id. An id that it cannot store belongs to no job. */
export const isStorableId = (id: string): boolean => !id.includes("\u0000") && !halfCharacter.test(id)

/** The text with its NUL characters replaced, which PostgreSQL does not store. */
export const storableText = (text: string): string => text.replaceAll("\u0000", "\uFFFD")

/** See `OfferOptions.keepIdFor`. */
const defaultKeepIdFor = Duration.minutes(5)

/** For how many milliseconds the given ids are kept; none when they need not be, or when the engine makes the ids. */
export const keepIdForMillis = ({ ids, keepIdFor = defaultKeepIdFor }: OfferAllOptions): number | undefined => {
  const millis = Math.ceil(Duration.toMillis(keepIdFor))
  return ids === undefined || millis <= 0 ? undefined : millis
}
