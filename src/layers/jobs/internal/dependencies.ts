import { JobSourceError, type OfferAllOptions, UnknownDependency } from "../JobSource.js"
import { isStorableId } from "./storable.js"

/** A job of some queue. */
export interface JobRef {
  readonly queue: string
  readonly id: string
}

/** A job of some queue as one text. */
export const refKey = ({ id, queue }: JobRef): string => JSON.stringify([queue, id])

/** The jobs that each job depends on, each of them once; undefined when none depends on any. */
export const dependenciesOf = (
  queue: string,
  { dependsOn }: OfferAllOptions
): ReadonlyArray<ReadonlyArray<JobRef>> | undefined =>
  dependsOn?.some((some) => some !== undefined && some.length > 0) === true
    ? dependsOn.map((some = []) => {
      const refs = some.map((one) => typeof one === "string" ? { queue, id: one } : { queue: one.queue, id: one.id })
      return Array.from(new Map(refs.map((ref) => [refKey(ref), ref])).values())
    })
    : undefined

/** Why jobs cannot be offered with these dependencies, whatever the queue has. */
export const dependenciesFault = (jobs: number, queue: string, options: OfferAllOptions): Error | undefined => {
  const { dependsOn, ids } = options
  if (dependsOn !== undefined && dependsOn.length !== jobs) {
    return new Error(`there are ${jobs} jobs, but ${dependsOn.length} lists of jobs that they depend on`)
  }
  for (const [index, refs] of dependenciesOf(queue, options)?.entries() ?? []) {
    for (const ref of refs) {
      if (ref.queue === queue && ref.id === ids?.[index]) {
        return new Error(`the job ${JSON.stringify(ref.id)} depends on itself`)
      }
      // No job has such an id.
      if (!isStorableId(ref.id) || !isStorableId(ref.queue)) return new UnknownDependency(ref)
    }
  }
  return undefined
}

/** Why jobs that depend on others cannot be offered to a source where none waits for another. */
export const dependenciesRefused = (queue: string, options: OfferAllOptions): JobSourceError | undefined => {
  const ref = dependenciesOf(queue, options)?.find(([first]) => first !== undefined)?.[0]
  return ref === undefined ? undefined : new JobSourceError({
    operation: "offer",
    queue,
    cause: new Error(
      `a job cannot wait for the job ${
        JSON.stringify(ref.id)
      }: this source has no dependencies. Offer it when that one has succeeded, or to a source that has them`
    )
  })
}
