/**
 * How fast an import proceeds, by what was seen of it in the last seconds.
 */

/** What was done at one moment. Times are milliseconds. */
export interface Sample {
  readonly at: number
  readonly done: number
}

const window = 10_000

/** After a gap, such as a restart, the rate is measured anew. */
const gap = 3_000

/** The samples with this one, without those that are too old. One that says nothing new is not added. */
export const addSample = (samples: ReadonlyArray<Sample>, sample: Sample): ReadonlyArray<Sample> => {
  const last = samples.at(-1)
  if (last === undefined || sample.at - last.at > gap || sample.done < last.done) return [sample]
  return sample.done === last.done ? samples : [...samples.filter(({ at }) => sample.at - at <= window), sample]
}

/** Rows in a second; undefined before it can be known. */
export const rateOf = (samples: ReadonlyArray<Sample>): number | undefined => {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined || last.at - first.at < 300) return undefined
  return ((last.done - first.done) * 1000) / (last.at - first.at)
}

/** Milliseconds until all is done; undefined before it can be known. */
export const timeLeft = (samples: ReadonlyArray<Sample>, total: number): number | undefined => {
  const rate = rateOf(samples)
  const done = samples.at(-1)?.done ?? 0
  return rate === undefined || rate <= 0 ? undefined : (Math.max(0, total - done) * 1000) / rate
}
