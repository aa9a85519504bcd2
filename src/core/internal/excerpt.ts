import { Duration } from "effect"

/** What a `DrainReport` says of the release of a resource. */
interface Released {
  readonly outcome: string
  readonly elapsed: Duration.Duration
  readonly cut: number
  readonly reason?: string
  readonly failure?: string
}

/** Whether everything was finished in time. */
export const isClean = ({ cut, failure, outcome, reason }: Omit<Released, "elapsed">) =>
  outcome === "Drained" && cut === 0 && failure === undefined && reason === undefined

/** A part of many that is short enough to be read. */
export interface Excerpt<A> {
  /** In the order of all. */
  readonly shown: ReadonlyArray<A>
  readonly others: ReadonlyArray<A>
}

/** At most `most` of them: those of the highest rank. */
export const excerpt = <A>(all: ReadonlyArray<A>, most: number, rank: (item: A) => number): Excerpt<A> => {
  if (all.length <= most) return { shown: all, others: [] }
  const ranked = all.map((item) => ({ item, rank: rank(item) })).sort((a, b) => b.rank - a.rank)
  const chosen = new Set(ranked.slice(0, Math.max(0, most)).map(({ item }) => item))
  return { shown: all.filter((item) => chosen.has(item)), others: all.filter((item) => !chosen.has(item)) }
}

/** So many resources of a report are shown. */
export const mostDrains = 50

/** The others in words, such as `9950 more, all Drained`, or `60 more: 58 Drained, 2 Interrupted`; empty if there are none. */
export const countOthers = (others: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const other of others) counts.set(other, (counts.get(other) ?? 0) + 1)
  const counted = Array.from(counts, ([other, count]) => `${count} ${other}`).join(", ")
  return counts.size === 0
    ? ""
    : counts.size === 1
    ? `${others.length} more, all ${others[0]}`
    : `${others.length} more: ${counted}`
}

/** What failed comes first, then what is not clean, then what took long. In milliseconds, of which no release takes as many. */
const rankOfDrain = (drain: Released): number =>
  (drain.cut > 0 || drain.outcome === "Abandoned" || drain.failure !== undefined ? 2e12 : isClean(drain) ? 0 : 1e12) +
  Duration.toMillis(drain.elapsed)

/** The resources of a report that are shown, and the others in words. */
export const excerptOfDrains = <A extends Released>(drains: ReadonlyArray<A>, most = mostDrains) => {
  const { others, shown } = excerpt(drains, most, rankOfDrain)
  return {
    shown,
    others: countOthers(others.map(({ failure, outcome }) => failure === undefined ? outcome : "failed"))
  }
}
