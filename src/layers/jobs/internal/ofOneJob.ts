import type { OfferAllOptions, OfferOptions } from "../JobSource.js"

/** The options of one job as those of jobs that are offered together. */
export const ofOneJob = ({ dependsOn, id, key, ...options }: OfferOptions = {}): OfferAllOptions => ({
  ...options,
  ...id === undefined ? {} : { ids: [id] },
  ...key === undefined ? {} : { keys: [key] },
  ...dependsOn === undefined ? {} : { dependsOn: [dependsOn] }
})
