import { Duration } from "effect"
import type { OfferAllOptions } from "../JobSource.js"

/** Half of a surrogate pair: drivers send the same replacement character for each, so different ids would become one. */
const halfCharacter = /\p{Surrogate}/u

/** Why jobs cannot be offered with these ids. */
export const idsFault = (jobs: number, { ids, uniqueFor }: OfferAllOptions): Error | undefined => {
  if (ids === undefined) {
    return uniqueFor === undefined ? undefined : new Error("uniqueFor needs an id: it is what is unique")
  }
  if (ids.length !== jobs) return new Error(`there are ${jobs} jobs, but ${ids.length} ids`)
  const broken = ids.find((id) => halfCharacter.test(id))
  return broken === undefined ? undefined : new Error(`the id ${JSON.stringify(broken)} has half a surrogate pair`)
}

/** Whether PostgreSQL can store the id, or the key. An id that it cannot store belongs to no job. */
export const isStorableId = (id: string): boolean => !id.includes("\u0000") && !halfCharacter.test(id)

/** The text with its NUL characters replaced, which PostgreSQL does not store. */
export const storableText = (text: string): string => text.replaceAll("\u0000", "\uFFFD")

/** JSON with its NUL characters and halves of surrogate pairs replaced, which PostgreSQL does not store. */
const replaceUnstorable = (json: string): string =>
  json.replace(
    /\\(?:u(?:0000|d[89a-f][0-9a-f]{2})|.)/g,
    (escape) => escape.length > 2 ? "\uFFFD" : escape
  )

/** A value as JSON that PostgreSQL stores. For values that are not the caller's: no caller would see that they are refused. */
export const storableJson = (value: unknown): string => replaceUnstorable(JSON.stringify(value) ?? "null")

/** Whether PostgreSQL stores the JSON. */
export const isStorableJsonText = (json: string): boolean => !json.includes("\\u") || replaceUnstorable(json) === json

/** Whether a value is JSON that PostgreSQL stores. */
export const isStorableJson = (value: unknown): boolean => {
  try {
    const text = JSON.stringify(value) as string | undefined
    return text !== undefined && isStorableJsonText(text)
  } catch {
    return false
  }
}

/** See `OfferOptions.keepIdFor`. */
export const defaultKeepIdFor = Duration.minutes(5)

/** For how long a given id is kept after its job was acknowledged. */
export const keepIdForOf = (
  { keepIdFor, uniqueFor }: Pick<OfferAllOptions, "keepIdFor" | "uniqueFor">
): Duration.DurationInput => keepIdFor ?? (uniqueFor === undefined ? defaultKeepIdFor : Duration.zero)

/**
 * For how many milliseconds the given ids are kept; none when they need not be, or when the engine makes the ids. Zero for ids that are
 * kept for no longer than they are unique.
 */
export const keepIdForMillis = (options: OfferAllOptions): number | undefined => {
  if (options.ids === undefined) return undefined
  const millis = Math.ceil(Duration.toMillis(keepIdForOf(options)))
  return millis <= 0 && options.uniqueFor === undefined ? undefined : millis
}

/** For how many milliseconds after the offer the given ids are taken in any case. */
export const uniqueForMillis = ({ uniqueFor }: OfferAllOptions): number | undefined =>
  uniqueFor === undefined ? undefined : Math.ceil(Duration.toMillis(uniqueFor))
