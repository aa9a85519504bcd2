// The schedule of a round: its jobs and its faults, as a pure function of its seed.
import type { Job, Kind } from "../fixtures/chaos/job.js"

/** What distributes the jobs: a carrier over PostgreSQL, or the database itself. */
export const engines = ["postgres", "redis", "nats", "rabbitmq", "pglite"] as const
export type Engine = typeof engines[number]

/** The target of a fault: one of the service's processes, the database, or the server of the carrier. */
export type Target = `service ${number}` | "database" | "carrier"

/** A server is down for `millis`, and a frozen target frozen for `millis`. The cluster restarts its processes itself. */
export interface Fault {
  /** Milliseconds since the begin of the round. */
  readonly at: number
  readonly target: Target
  readonly kind: "SIGTERM" | "SIGKILL" | "freeze" | "stop" | "kill" | "wipe"
  readonly millis: number
}

export interface Batch {
  readonly at: number
  /** Whether the client sends the request only once, also when it gets no response. */
  readonly sentOnce: boolean
  readonly jobs: ReadonlyArray<Job>
}

export interface Schedule {
  readonly seed: number
  readonly engine: Engine
  readonly services: number
  readonly batches: ReadonlyArray<Batch>
  /** When the dead letters of failing jobs are redriven. */
  readonly redrive: number
  readonly faults: ReadonlyArray<Fault>
}

/** A random number generator. The same seed has the same numbers. */
const randomOf = (seed: number) => {
  let state = Math.imul(seed, 0x9e3779b1)
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  const weighted = <A>(choices: ReadonlyArray<readonly [weight: number, value: A]>): A => {
    let rest = next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    return choices.find(([weight]) => (rest -= weight) < 0)![1]
  }
  return { between, weighted, chance: (of: number) => next() < of }
}

type Random = ReturnType<typeof randomOf>

/** The milliseconds in which faults and batches begin. */
const window = 3_500

/** Milliseconds, longer than the service's lease of two seconds: meanwhile other processes claim the jobs of a frozen one. */
const longerThanLease = [3_000, 4_200] as const

const kinds: ReadonlyArray<readonly [number, Kind]> = [
  [40, "plain"],
  [15, "flaky"],
  [20, "steps"],
  [5, "ignoresInterrupt"],
  [10, "longTransaction"],
  [5, "failsAfterComplete"],
  [5, "handsBack"],
  [3, "failing"]
]

const millisOf = ({ between, chance }: Random, kind: Kind): number => {
  switch (kind) {
    case "plain":
      return chance(0.15) ? between(800, 2_000) : between(5, 250)
    case "handsBack":
    case "ignoresInterrupt":
      return between(200, 1_500)
    case "steps":
      return between(20, 250)
    default:
      return between(5, 200)
  }
}

const countOf = ({ between }: Random, kind: Kind): number =>
  kind === "flaky" ? between(1, 2) : kind === "steps" ? between(3, 12) : 0

/** PGlite belongs to one process and runs one statement at a time. */
const loadOf = (engine: Engine) => engine === "pglite" ? { services: 1, batches: 6 } : { services: 3, batches: 24 }

const serversOf = (engine: Engine): ReadonlyArray<Target> =>
  engine === "pglite" ? [] : engine === "postgres" ? ["database"] : ["database", "carrier"]

const serverFault = ({ between, chance, weighted }: Random, target: Target): ReadonlyArray<Fault> => {
  if (!chance(0.6)) return []
  // Only the carrier is wiped: the database still has the jobs.
  const kind = weighted([
    [2, "stop" as const],
    [2, "kill" as const],
    [2, "freeze" as const],
    [target === "carrier" ? 1 : 0, "wipe" as const]
  ])
  const at = between(300, 3_000)
  return [{ at, target, kind, millis: kind === "freeze" ? between(300, 3_000) : between(200, 1_500) }]
}

const freeze = (target: Target, at: number, millis: number): Fault => ({ at, target, kind: "freeze", millis })

const serviceFaults = ({ between, chance, weighted }: Random, services: number): ReadonlyArray<Fault> => {
  const target: Target = `service ${between(1, services)}`
  const at = between(200, window)
  const kind = weighted([[4, "SIGTERM" as const], [3, "SIGKILL" as const], [3, "freeze" as const]])
  if (kind === "freeze") return [freeze(target, at, between(...longerThanLease))]
  const fault = { at, target, kind, millis: 0 }
  // As a platform whose grace period is over, SIGKILL follows while the process drains.
  return kind === "SIGTERM" && chance(0.25)
    ? [fault, { ...fault, at: at + between(20, 900), kind: "SIGKILL" as const }]
    : [fault]
}

export const scheduleOf = (engine: Engine, seed: number): Schedule => {
  const random = randomOf(seed)
  const { batches, services } = loadOf(engine)
  const job = (key: string, kind: Kind): Job => ({
    key,
    kind,
    millis: millisOf(random, kind),
    count: countOf(random, kind)
  })
  const planned = Array.from({ length: batches }, (_, batch): Batch => ({
    at: random.between(0, window),
    sentOnce: random.chance(0.2),
    jobs: Array.from(
      { length: random.between(1, 15) },
      (_, nth) => job(`${batch}-${nth}`, random.weighted(kinds))
    )
  }))
  // On PGlite each of its attempts takes a lease and a start, so it is rare there.
  const poison: ReadonlyArray<Batch> = random.chance(engine === "pglite" ? 0.1 : 0.3)
    ? [{ at: random.between(0, 1_000), sentOnce: false, jobs: [job("poison", "poison")] }]
    : []
  const faults = [
    ...serversOf(engine).flatMap((server) => serverFault(random, server)),
    // Every round has a process that continues after its leases have expired.
    freeze(`service ${random.between(1, services)}`, random.between(500, 1_500), random.between(...longerThanLease)),
    ...Array.from({ length: random.between(services, 2 * services - 1) }, () => serviceFaults(random, services)).flat()
  ]
  const byTime = (a: { readonly at: number }, b: { readonly at: number }) => a.at - b.at
  return {
    seed,
    engine,
    services,
    batches: [...planned, ...poison].sort(byTime),
    redrive: random.between(1_000, window + 1_000),
    faults: faults.sort(byTime)
  }
}

/** One line: the number of jobs, and each fault with its time in milliseconds. */
export const formatSchedule = ({ batches, engine, faults, seed }: Schedule): string => {
  const jobs = batches.flatMap(({ jobs }) => jobs)
  const poison = jobs.some(({ kind }) => kind === "poison") ? ", one of them poison" : ""
  const times = faults.map(({ at, kind, millis, target }) =>
    `${at} ${target} ${kind}${millis > 0 ? ` for ${millis}` : ""}`
  )
  return `${engine}, seed ${seed}: ${jobs.length} jobs${poison}; ${times.join(", ")}`
}
