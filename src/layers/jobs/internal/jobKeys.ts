import { JobSourceError, type OfferAllOptions } from "../JobSource.js"
import { isStorableId } from "./storable.js"

/** The key of each job, null for a job without one; undefined when none has one. */
export const keysOf = ({ keys }: OfferAllOptions): ReadonlyArray<string | null> | undefined =>
  keys?.some((key) => key !== undefined) === true ? keys.map((key) => key ?? null) : undefined

/** Why jobs cannot be offered with these keys. */
export const keysFault = (jobs: number, { keys }: OfferAllOptions): Error | undefined => {
  if (keys === undefined) return undefined
  if (keys.length !== jobs) return new Error(`there are ${jobs} jobs, but ${keys.length} keys`)
  if (keys.includes("")) return new Error("a key is empty. Offer a job that needs no order without a key")
  const broken = keys.find((key) => key !== undefined && !isStorableId(key))
  return broken === undefined
    ? undefined
    : new Error(`the key ${JSON.stringify(broken)} has a NUL character, or half a surrogate pair`)
}

/** Why jobs cannot be offered with keys to a source that has none. */
export const keysRefused = (queue: string, options: OfferAllOptions, reason: string): JobSourceError | undefined => {
  const key = keysOf(options)?.find((key) => key !== null)
  return key === undefined ? undefined : new JobSourceError({
    operation: "offer",
    queue,
    cause: new Error(
      `the key ${
        JSON.stringify(key)
      } cannot be kept: ${reason}. Offer the job without a key, or to a source that has keys`
    )
  })
}
