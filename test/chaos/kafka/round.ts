// One round of Kafka: a mock cluster, a database and three members, with the faults of its schedule, that recovers and is checked.
import { Kafka } from "kafkajs"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { read } from "../../fixtures/chaos/journal.js"
import { deadLetterTopic, groupId, placeOf, topics } from "../../fixtures/kafka/chaosRecord.js"
import { cuttableProxy } from "../../kit/cuttableProxy.js"
import { type Fate, kafkaProxy, type KafkaResponse } from "../../kit/kafkaProxy.js"
import { ThrowawayKafka } from "../../kit/kafkaServer.js"
import { adminQuery, type PostgresServer } from "../../kit/postgresServer.js"
import type { Violation } from "../checker.js"
import { Cluster } from "../cluster.js"
import { check, type DeadLetter, type EffectRow, type History } from "./checker.js"
import { brokers, type Fault, type Record, type Schedule, services } from "./schedule.js"
import { standstillOf } from "./standstill.js"

export interface Round extends History {
  readonly folder: string
  /** What everything was at when nothing was consumed any more. Empty when everything was. */
  readonly standstill: ReadonlyArray<string>
  readonly violations: ReadonlyArray<Violation>
}

/** The first record is consumed in this time, on a busy machine too. */
const firstEffect = 180_000
/** After the last fault something must be consumed in each such time, until everything is: a busy machine needs many of them. */
const stall = 60_000
/** The time from SIGTERM until SIGKILL at the end of a round. */
const stopTimeout = 20_000

type Proxy = Awaited<ReturnType<typeof cuttableProxy>>

const syncGroup = 14
const errors = { INVALID_REQUEST: 42, REBALANCE_IN_PROGRESS: 27 }
/** Behind the size, the id of the request and the throttle time. */
const errorAt = 12

/**
 * The mock cluster refuses a member that asks for its partitions when all others have theirs, where Kafka answers. On a busy machine that
 * ends one service after the other, each with a rebalance. Here the member joins again.
 */
const heal = ({ api, frame }: KafkaResponse): Fate => {
  if (api === syncGroup && frame.readInt16BE(errorAt) === errors.INVALID_REQUEST) {
    frame.writeInt16BE(errors.REBALANCE_IN_PROGRESS, errorAt)
  }
  return "pass"
}

const startKafka = async (folder: string) => {
  const server = new ThrowawayKafka(brokers, Path.join(folder, "cluster"))
  await server.create()
  const ports = server.brokers.map((broker) => Number(broker.split(":").at(-1)))
  const healers = await Promise.all(ports.map((port) => kafkaProxy(port, heal)))
  const proxies = await Promise.all(healers.map(({ port }) => cuttableProxy(port)))
  return {
    server,
    proxies,
    healers,
    env: {
      KAFKA_BROKERS: server.brokers.join(","),
      PROXIES: JSON.stringify(Object.fromEntries(ports.map((port, nth) => [port, proxies[nth]!.port])))
    }
  }
}

/** Sends records to the brokers themselves, so that each is there once. */
const produce = async (server: ThrowawayKafka, records: ReadonlyArray<Record>) => {
  const producer = new Kafka({ brokers: [...server.brokers], logLevel: 0 }).producer()
  await producer.connect()
  for (const topic of topics) {
    const messages = records.filter((record) => record.topic === topic).map(({ key, partition, work }) => ({
      key,
      partition,
      value: JSON.stringify(work)
    }))
    await producer.send({ topic, messages })
  }
  await producer.disconnect()
}

const inject = async (cluster: Cluster, server: ThrowawayKafka, proxies: ReadonlyArray<Proxy>, fault: Fault) => {
  const { kind, millis, target } = fault
  const [what, nth] = target.split(" ")
  if (what === "cluster") {
    server.freeze()
    await sleep(millis)
    return server.thaw()
  }
  if (what === "broker") {
    const proxy = proxies[Number(nth) - 1]!
    proxy.cut()
    await sleep(millis)
    return proxy.restore()
  }
  const instance = cluster.at(Number(nth))
  if (kind === "SIGTERM" || kind === "SIGKILL") return instance?.send(kind)
  instance?.send("SIGSTOP")
  await sleep(millis)
  instance?.send("SIGCONT")
}

/** The partitions whose position is not their end. */
const unfinishedOf = async (url: string, { early, late }: Schedule): Promise<ReadonlyArray<string>> => {
  const ends = new Map<string, number>()
  for (const { offset, partition, topic } of [...early, ...late]) ends.set(`${topic}/${partition}`, offset + 1)
  const rows = await adminQuery(
    url,
    `SELECT topic || '/' || partition AS name, next_offset FROM lastcall_kafka_partitions WHERE group_id = '${groupId}'`
  ).catch(() => [])
  const positions = new Map(rows.map((row) => [row["name"] as string, Number(row["next_offset"] ?? 0)]))
  return Array.from(ends).filter(([name, end]) => positions.get(name) !== end).map(([name, end]) =>
    `${name} is at ${positions.get(name) ?? 0} of ${end}`
  )
}

/** Waits until everything is consumed, or nothing is any more. */
const recovers = async (url: string, server: ThrowawayKafka, schedule: Schedule): Promise<boolean> => {
  let last = ""
  for (let since = Date.now(); server.failure === undefined && Date.now() < since + stall;) {
    const unfinished = (await unfinishedOf(url, schedule)).join()
    if (unfinished === "") return true
    if (unfinished !== last) since = Date.now()
    last = unfinished
    await sleep(100)
  }
  return false
}

/** Waits for the first effect. */
const begins = async (url: string, server: ThrowawayKafka): Promise<boolean> => {
  for (const since = Date.now(); server.failure === undefined && Date.now() < since + firstEffect;) {
    if ((await readEffects(url)).length > 0) return true
    await sleep(100)
  }
  return false
}

const readDead = (server: ThrowawayKafka): ReadonlyArray<DeadLetter> => {
  const args = ["-C", "-b", server.brokers.join(","), "-t", deadLetterTopic, "-o", "beginning", "-e", "-q", "-J"]
  const { stdout } = spawnSync("kcat", args, { encoding: "utf8", timeout: 20_000 })
  return stdout.split("\n").filter((line) => line !== "").map((line) => {
    const { headers } = JSON.parse(line) as { readonly headers: ReadonlyArray<string> }
    const header = (name: string) => headers[headers.indexOf(`dead-letter-${name}`) + 1]!
    return {
      record: placeOf({
        topic: header("topic"),
        partition: Number(header("partition")),
        offset: Number(header("offset"))
      }),
      error: header("error")
    }
  })
}

const readEffects = async (url: string) =>
  (await adminQuery(url, `SELECT topic, partition, "offset", key FROM effects ORDER BY id`)) as never as ReadonlyArray<
    EffectRow
  >

export const play = async (schedule: Schedule, postgres: PostgresServer): Promise<Round> => {
  const { early, faults, late, order, seed } = schedule
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), `lastcall-chaos-kafka-${seed}-`))
  const database = `round_${seed}_${Date.now()}`
  await postgres.query(`CREATE DATABASE ${database}`)
  const url = Object.assign(new URL(postgres.url), { pathname: `/${database}` }).toString()
  await adminQuery(
    url,
    `CREATE TABLE effects (id serial, topic text, partition int, "offset" int, key text, process text)`
  )
  const { env, healers, proxies, server } = await startKafka(folder)
  await produce(server, early)
  const cluster = new Cluster(
    services,
    folder,
    { ...env, ORDER: order, DATABASE_URL: url },
    "test/fixtures/kafka/chaos.ts"
  )
  try {
    const hasBegun = await begins(url, server)
    const produced = sleep(500).then(() => produce(server, late))
    await Promise.all([
      produced,
      ...faults.map(async (fault) => {
        await sleep(fault.at)
        if (fault.target === "cluster") await produced
        await inject(cluster, server, proxies, fault)
      })
    ])
    const standstill = hasBegun && await recovers(url, server, schedule)
      ? []
      : await standstillOf({ cluster, folder, server, topics, url })
    await cluster.stop(stopTimeout)
    const history: History = {
      schedule,
      effects: await readEffects(url),
      dead: readDead(server),
      unfinished: await unfinishedOf(url, schedule),
      journal: read(Path.join(folder, "journal")),
      lives: cluster.lives
    }
    return { ...history, folder, standstill, violations: check(history) }
  } finally {
    await cluster.stop(0)
    await server.remove()
    await Promise.all([...proxies, ...healers].map((proxy) => proxy.close()))
    await postgres.query(`DROP DATABASE ${database} WITH (FORCE)`)
  }
}

/** The plan of one record, and what its processes wrote about it. */
const historyOf = ({ journal, schedule }: Round, job: string): ReadonlyArray<string> => {
  const first = journal[0]?.at ?? 0
  const planned = [...schedule.early, ...schedule.late].find((record) => placeOf(record) === job)
  return [
    `  ${JSON.stringify(planned)}`,
    ...journal.filter((entry) => entry.job === job).map(({ at, attempt, process, what }) =>
      `  ${String(at - first).padStart(6)} ms  process ${process}  attempt ${attempt}  ${what}`
    )
  ]
}

/** A round that stands still violates what is promised for each record that is left. */
const mostViolations = 20

/** The violations of a round, with the history of each record, and the command that plays the schedule again. */
export const formatFailure = (round: Round): string =>
  [
    `FAILED, see ${round.folder}; again with LASTCALL_SEED=${round.schedule.seed} LASTCALL_ROUNDS=1`,
    ...round.violations.slice(0, mostViolations).flatMap(({ job, what }) =>
      job === undefined ? [`- ${what}`] : [`- record ${job} ${what}`, ...historyOf(round, job)]
    ),
    ...round.violations.length > mostViolations ? [`- and ${round.violations.length - mostViolations} more`] : [],
    ...round.standstill
  ].join("\n")
