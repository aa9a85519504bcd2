import { Array as Arr, Effect, Option } from "effect"
import type { Conditions, Resource } from "../Shutdown.js"
import type { DrainReport } from "../ShutdownReport.js"
import { abandonedReport } from "./drainReport.js"
import { isClean } from "./excerpt.js"

interface Registered {
  resource: Resource
  /** The name that it was registered with, before it was made unique. */
  readonly baseName: string
  /** Whether it was registered in lame duck, such as the resource of one request. */
  readonly passing: boolean
  /** When its stage first changed. */
  began?: number
  /** The numbers of its entries. */
  readonly entries: Array<number>
}

/** The registered resources and the entries of the journal. Each change takes the same time, whatever their number. */
export interface Journal<in out Entry> {
  /** In the order of registration, without those that are hidden. */
  readonly resources: () => ReadonlyArray<Resource>
  /** The reports of those that are closed. */
  readonly reports: () => ReadonlyArray<DrainReport>
  /** The conditions of those that have one. */
  readonly conditions: () => Conditions
  /** Runs the releases of all that are not closed, last registered first: also of hidden ones, and of those registered meanwhile. */
  readonly finalize: Effect.Effect<void>
  /** The number of resources that are neither closed nor hidden. */
  readonly countUnclosed: () => number
  /** Closes those resources as Abandoned, in a shutdown that was requested at `from`. Returns them. */
  readonly abandon: (from: number, at: number) => ReadonlyArray<Resource>
  /** In the order in which they were added. */
  readonly entries: () => ReadonlyArray<Entry>
  /** Registers the resource. A name that is taken gets the next free number. */
  readonly register: (resource: Resource, lameDuck: boolean) => Resource
  /**
   * Replaces the registered resource of the same name, after a change of its stage. Returns whether it is kept: one that was
   * registered and closed in lame duck is forgotten, unless something went wrong, because a service that acquires one for each
   * request would keep them all. So is a provisional one that closes without a report.
   */
  readonly replace: (resource: Resource, at: number, lameDuck: boolean) => boolean
  /** Adds an entry, which is forgotten with the resource of this name, if there is one. */
  readonly add: (entry: Entry, name?: string) => void
  /** Forgets closed resources and their entries: those before a shutdown is requested are no part of its report. */
  readonly forgetClosed: () => void
}

const isHidden = ({ provisional, stage }: Resource) => provisional === true && stage === "open"

export const makeJournal = <Entry>(): Journal<Entry> => {
  const registered = new Map<string, Registered>()
  const entries = new Map<number, Entry>()
  /** How many resources have this base name, and the number that the next one of them gets. */
  const baseNames = new Map<string, { count: number; next: number }>()
  let closed: Array<string> = []
  /** The releases that `finalize` has still to run, the next one at the end. */
  let finalizers: Array<Resource["finalize"]> | undefined
  let hidden = 0
  let added = 0

  const uniqueName = (baseName: string): string => {
    const named = baseNames.get(baseName) ?? { count: 0, next: 2 }
    baseNames.set(baseName, named)
    named.count++
    let unique = baseName
    while (registered.has(unique)) unique = `${baseName}-${named.next++}`
    return unique
  }

  const forget = (name: string) => {
    const found = registered.get(name)
    if (found === undefined) return
    registered.delete(name)
    for (const entry of found.entries) entries.delete(entry)
    const named = baseNames.get(found.baseName)!
    if (--named.count === 0) baseNames.delete(found.baseName)
  }

  const all = () => Array.from(registered.values(), ({ resource }) => resource)
  const resources = () => {
    const found: Array<Resource> = []
    for (const { resource } of registered.values()) if (!isHidden(resource)) found.push(resource)
    return found
  }

  return {
    resources,
    reports: () => Arr.getSomes(resources().map(({ report }) => report)),
    conditions: () =>
      Object.fromEntries(
        resources().flatMap(({ condition, name }) => {
          const present = condition()
          return present === undefined ? [] : [[name, present]]
        })
      ),
    finalize: Effect.suspend(() => {
      const left = finalizers = all().filter(({ stage }) => stage !== "closed").map(({ finalize }) => finalize)
      return Effect.whileLoop({ while: () => left.length > 0, body: () => left.pop()!, step: () => {} })
    }),
    countUnclosed: () => registered.size - closed.length - hidden,
    abandon: (from, at) =>
      Array.from(registered.values())
        .filter(({ resource }) => resource.stage !== "closed" && !isHidden(resource))
        .map((found) => {
          const report = abandonedReport(found.resource, { from, began: found.began ?? at, at })
          found.resource = { ...found.resource, stage: "closed", report: Option.some(report) }
          closed.push(found.resource.name)
          return found.resource
        }),
    entries: () => Array.from(entries.values()),
    register: (resource, passing) => {
      const unique = { ...resource, name: uniqueName(resource.name) }
      if (isHidden(unique)) hidden++
      registered.set(unique.name, { resource: unique, baseName: resource.name, passing, entries: [] })
      finalizers?.push(unique.finalize)
      return unique
    },
    replace: (resource, at, lameDuck) => {
      const found = registered.get(resource.name)
      if (found === undefined) return true
      if (isHidden(found.resource) && !isHidden(resource)) hidden--
      found.resource = resource
      found.began ??= at
      if (resource.stage !== "closed") return true
      const isEmpty = resource.provisional === true && Option.isNone(resource.report)
      if (isEmpty || (lameDuck && found.passing && Option.exists(resource.report, isClean))) {
        forget(resource.name)
        return false
      }
      closed.push(resource.name)
      return true
    },
    add: (entry, name) => {
      if (name !== undefined) registered.get(name)?.entries.push(added)
      entries.set(added++, entry)
    },
    forgetClosed: () => {
      closed.forEach(forget)
      closed = []
    }
  }
}
