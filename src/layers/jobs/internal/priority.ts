import { JobSourceError, type OfferAllOptions } from "../JobSource.js"

/** The lowest number is claimed first. See `OfferOptions.priority`. */
export const defaultPriority = 0
/** The last number. */
export const lastPriority = 9

/** Why jobs cannot be offered with their priority to a source whose claims do not follow it. */
export const priorityFault = (
  queue: string,
  { priority = defaultPriority }: OfferAllOptions,
  reason: string
): JobSourceError | undefined =>
  priority === defaultPriority ? undefined : new JobSourceError({
    operation: "offer",
    queue,
    cause: new Error(`priority ${priority} cannot be kept: ${reason}. Offer the job without a priority`)
  })
