// The schedule of a round of Kafka: its records and its faults, as a pure function of its seed.
import { type Kind, topics, type Work } from "../../fixtures/kafka/chaosRecord.js"
import { Choices } from "../../kit/random.js"

export const services = 3
export const brokers = 3

/** A service that is sent a signal or frozen, one broker whose connections are cut, or all brokers that are frozen. */
export interface Fault {
  /** Milliseconds since the first effect. */
  readonly at: number
  readonly target: `service ${number}` | `broker ${number}` | "cluster"
  readonly kind: "SIGTERM" | "SIGKILL" | "freeze" | "cut"
  /** How long it lasts. */
  readonly millis: number
}

export interface Record {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly work: Work
}

export interface Schedule {
  readonly seed: number
  /** What runs one after the other; "batch": records of a partition, in batches. */
  readonly order: "key" | "partition" | "batch"
  /** In order of their offsets. The first part is there before the services start. */
  readonly early: ReadonlyArray<Record>
  readonly late: ReadonlyArray<Record>
  readonly faults: ReadonlyArray<Fault>
}

/** Those that a topic of the mock cluster has. */
const partitions = [0, 1, 2, 3]
const perPartition = 60
const keys = 5

/** The milliseconds in which faults begin. */
const window = 7_000

/** Milliseconds, longer than the session timeout of three seconds: meanwhile other members get the partitions. */
const longerThanSession = [3_500, 5_000] as const

const kindOf = (choices: Choices): Kind => {
  const roll = choices.int(1, 100)
  return roll <= 80
    ? "plain"
    : roll <= 86
    ? "flaky"
    : roll <= 92
    ? "longTransaction"
    : roll <= 97
    ? "failsAfterCommit"
    : "failing"
}

const millisOf = (choices: Choices, kind: Kind): number =>
  kind === "plain" ? choices.chance(0.05) ? choices.int(500, 1_500) : choices.int(5, 80) : choices.int(5, 200)

const serviceFaults = (choices: Choices): ReadonlyArray<Fault> => {
  const target: Fault["target"] = `service ${choices.int(1, services)}`
  const at = choices.int(200, window)
  const roll = choices.int(1, 10)
  if (roll > 7) return [{ at, target, kind: "freeze", millis: choices.int(...longerThanSession) }]
  const fault: Fault = { at, target, kind: roll > 4 ? "SIGKILL" : "SIGTERM", millis: 0 }
  // As a platform whose grace period is over, SIGKILL follows while the process drains.
  return fault.kind === "SIGTERM" && choices.chance(0.25)
    ? [fault, { ...fault, at: at + choices.int(20, 900), kind: "SIGKILL" }]
    : [fault]
}

const brokerFaults = (choices: Choices): ReadonlyArray<Fault> => [
  ...choices.chance(0.6)
    ? [
      {
        at: choices.int(200, window),
        target: `broker ${choices.int(1, brokers)}`,
        kind: "cut",
        millis: choices.int(100, 4_000)
      } as const
    ]
    : [],
  // Once all records are there.
  ...choices.chance(0.4)
    ? [{ at: choices.int(3_000, window), target: "cluster", kind: "freeze", millis: choices.int(300, 4_000) } as const]
    : []
]

export const scheduleOf = (seed: number): Schedule => {
  const choices = new Choices(seed)
  const record = (topic: string, partition: number, offset: number): Record => {
    const kind = kindOf(choices)
    return {
      topic,
      partition,
      offset,
      key: `${partition}/${choices.int(1, keys)}`,
      work: { kind, millis: millisOf(choices, kind) }
    }
  }
  const records = topics.flatMap((topic) =>
    partitions.flatMap((partition) =>
      Array.from({ length: perPartition }, (_, offset) => record(topic, partition, offset))
    )
  )
  // Each of its processes takes a session timeout, so that it is rare.
  if (choices.chance(0.15)) {
    const at = choices.int(0, records.length - 1)
    records[at] = { ...records[at]!, work: { kind: "poison", millis: 0 } }
  }
  const half = choices.int(20, 40)
  const faults = [
    ...serviceFaults(choices),
    ...serviceFaults(choices),
    ...choices.chance(0.5) ? serviceFaults(choices) : [],
    ...brokerFaults(choices)
  ]
  return {
    seed,
    order: choices.pick(["key", "partition", "batch"]),
    early: records.filter(({ offset }) => offset < half),
    late: records.filter(({ offset }) => offset >= half),
    faults: faults.sort((a, b) => a.at - b.at)
  }
}

/** One line: the number of records, and each fault with its time in milliseconds. */
export const formatSchedule = ({ early, faults, late, order, seed }: Schedule): string => {
  const poison = [...early, ...late].some(({ work }) => work.kind === "poison") ? ", one of them poison" : ""
  const times = faults.map(({ at, kind, millis, target }) =>
    `${at} ${target} ${kind}${millis > 0 ? ` for ${millis}` : ""}`
  )
  return `kafka, seed ${seed}: ${early.length + late.length} records by ${order}${poison}; ${times.join(", ")}`
}
