// What happens in a round, as data: a pure function of its seed.
import type { Job, Kind } from "../fixtures/chaos/job.js"

export type Engine = "postgres" | "redis" | "pglite"
export const engines: ReadonlyArray<Engine> = ["postgres", "redis", "pglite"]

/** What can be hurt: one of the service's processes, the database, or the engine where that is a server of its own. */
export type Whom = `service ${number}` | "database" | "redis"

/**
 * `stop` and `kill` of a server and every `freeze` last for `millis`. Services are started again by whoever watches them.
 */
export interface Blow {
  readonly at: number
  readonly whom: Whom
  readonly what: "SIGTERM" | "SIGKILL" | "freeze" | "stop" | "kill" | "forget"
  readonly millis: number
}

export interface Batch {
  readonly at: number
  /** The client asks once, and never learns what came of it unless it is answered. */
  readonly careless: boolean
  readonly jobs: ReadonlyArray<Job>
}

export interface Schedule {
  readonly seed: number
  readonly engine: Engine
  readonly services: number
  readonly batches: ReadonlyArray<Batch>
  /** When what has gone to the dead letters without killing anybody gets another chance. */
  readonly pardon: number
  readonly blows: ReadonlyArray<Blow>
}

/** Numbers that are the same for the same seed. */
const randomOf = (seed: number) => {
  let state = Math.imul(seed, 0x9e3779b1)
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  const often = <A>(choices: ReadonlyArray<readonly [weight: number, value: A]>): A => {
    let rest = next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    return choices.find(([weight]) => (rest -= weight) < 0)![1]
  }
  return { between, often, chance: (of: number) => next() < of }
}

type Random = ReturnType<typeof randomOf>

/** When the blows fall. What they do lasts longer. */
const window = 3_500

/** Longer than the lease of the service's jobs, which is two seconds, so that others have taken them on meanwhile. */
const longerThanLease = [3_000, 4_200] as const

const kinds: ReadonlyArray<readonly [number, Kind]> = [
  [40, "plain"],
  [15, "flaky"],
  [20, "steps"],
  [5, "deaf"],
  [10, "open"],
  [5, "chatty"],
  [5, "attentive"],
  [3, "doomed"]
]

const millisOf = ({ between, chance }: Random, kind: Kind): number => {
  switch (kind) {
    case "plain":
      return chance(0.15) ? between(800, 2_000) : between(5, 250)
    case "attentive":
    case "deaf":
      return between(200, 1_500)
    case "steps":
      return between(20, 250)
    default:
      return between(5, 200)
  }
}

const countOf = ({ between }: Random, kind: Kind): number =>
  kind === "flaky" ? between(1, 2) : kind === "steps" ? between(3, 12) : 0

/** The wasm database is the service's own, and does one thing at a time. */
const load = {
  postgres: { services: 3, batches: 24 },
  redis: { services: 3, batches: 24 },
  pglite: { services: 1, batches: 6 }
}

const servers = { postgres: ["database"], redis: ["database", "redis"], pglite: [] } as const

const serverBlow = ({ between, chance, often }: Random, whom: Whom): ReadonlyArray<Blow> => {
  if (!chance(0.6)) return []
  // The outbox knows what a Redis has forgotten.
  const what = often([
    [2, "stop" as const],
    [2, "kill" as const],
    [2, "freeze" as const],
    [whom === "redis" ? 1 : 0, "forget" as const]
  ])
  const at = between(300, 3_000)
  return [{ at, whom, what, millis: what === "freeze" ? between(300, 3_000) : between(200, 1_500) }]
}

const freeze = (whom: Whom, at: number, millis: number): Blow => ({ at, whom, what: "freeze", millis })

const serviceBlow = ({ between, chance, often }: Random, services: number): ReadonlyArray<Blow> => {
  const whom: Whom = `service ${between(1, services)}`
  const at = between(200, window)
  const what = often([[4, "SIGTERM" as const], [3, "SIGKILL" as const], [3, "freeze" as const]])
  if (what === "freeze") return [freeze(whom, at, between(...longerThanLease))]
  const blow = { at, whom, what, millis: 0 }
  // Killed while it drains: whoever waits for it has lost patience.
  return what === "SIGTERM" && chance(0.25)
    ? [blow, { ...blow, at: at + between(20, 900), what: "SIGKILL" as const }]
    : [blow]
}

export const scheduleOf = (engine: Engine, seed: number): Schedule => {
  const random = randomOf(seed)
  const { batches, services } = load[engine]
  const job = (key: string, kind: Kind): Job => ({
    key,
    kind,
    millis: millisOf(random, kind),
    count: countOf(random, kind)
  })
  const planned = Array.from({ length: batches }, (_, batch): Batch => ({
    at: random.between(0, window),
    careless: random.chance(0.2),
    jobs: Array.from(
      { length: random.between(1, 15) },
      (_, nth) => job(`${batch}-${nth}`, random.often(kinds))
    )
  }))
  // With one process it takes a lease and a start for each of its attempts.
  const poison: ReadonlyArray<Batch> = random.chance(engine === "pglite" ? 0.1 : 0.3)
    ? [{ at: random.between(0, 1_000), careless: false, jobs: [job("poison", "poison")] }]
    : []
  const blows = [
    ...servers[engine].flatMap((server) => serverBlow(random, server)),
    // In every round somebody wakes up whose jobs are with others by now.
    freeze(`service ${random.between(1, services)}`, random.between(500, 1_500), random.between(...longerThanLease)),
    ...Array.from({ length: random.between(services, 2 * services - 1) }, () => serviceBlow(random, services)).flat()
  ]
  const byTime = (a: { readonly at: number }, b: { readonly at: number }) => a.at - b.at
  return {
    seed,
    engine,
    services,
    batches: [...planned, ...poison].sort(byTime),
    pardon: random.between(1_000, window + 1_000),
    blows: blows.sort(byTime)
  }
}

/** For people: what falls when, in milliseconds. */
export const show = ({ batches, blows, engine, seed }: Schedule): string => {
  const jobs = batches.flatMap(({ jobs }) => jobs)
  const poison = jobs.some(({ kind }) => kind === "poison") ? ", one of them poison" : ""
  const falls = blows.map(({ at, millis, what, whom }) => `${at} ${whom} ${what}${millis > 0 ? ` for ${millis}` : ""}`)
  return `${engine}, seed ${seed}: ${jobs.length} jobs${poison}; ${falls.join(", ")}`
}
