/**
 * Measures what a record costs: npm run kafka [rounds] [records] [part of the names of the programs]
 *
 * kafkajs' own loops and lastcall run as processes of their own, each in a group of its own, over one mock cluster with four
 * partitions. They take turns.
 */
import { spawn } from "node:child_process"
import { cpus } from "node:os"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Kafka } from "kafkajs"
import { ThrowawayKafka } from "../../test/kit/kafkaServer.js"
import { median, table } from "../servers.js"

const [rounds = "5", records = "80000", only = ""] = process.argv.slice(2)

const cluster = new ThrowawayKafka()
await cluster.create()

/** Handlers that wait get fewer records. */
const countOf = (wait: number) => wait > 0 ? Number(records) / 10 : Number(records)
const topicOf = (wait: number) => `wait-${wait}`

const producer = new Kafka({ brokers: [...cluster.brokers], logLevel: 0 }).producer()
await producer.connect()
for (const wait of [0, 1]) {
  for (let sent = 0; sent < countOf(wait); sent += 500) {
    const messages = Array.from({ length: Math.min(500, countOf(wait) - sent) }, (_, index) => ({
      key: `customer ${(sent + index) % 200}`,
      value: "x".repeat(100),
      partition: (sent + index) % 4
    }))
    await producer.send({ topic: topicOf(wait), messages })
  }
}
await producer.disconnect()

type Peer = readonly [name: string, file: string, form: string, concurrency: number]

/** The first of each group is what the others are compared to. */
const groups: ReadonlyArray<readonly [title: string, wait: number, peers: ReadonlyArray<Peer>]> = [
  ["a handler that does nothing", 0, [
    ["kafkajs eachMessage", "kafkajs", "eachMessage", 1],
    ["kafkajs eachBatch", "kafkajs", "eachBatch", 1],
    ["lastcall, by partition, 1 at a time", "lastcall", "partition", 1],
    ["lastcall, by partition, 10 at a time", "lastcall", "partition", 10],
    ["lastcall, by key, 1 at a time", "lastcall", "key", 1],
    ["lastcall, by key, 10 at a time", "lastcall", "key", 10],
    ["lastcall processBatch, 1 at a time", "lastcall", "batch", 1],
    ["lastcall processBatch, 10 at a time", "lastcall", "batch", 10]
  ]],
  ["a handler that waits 1 ms", 1, [
    ["kafkajs eachMessage", "kafkajs", "eachMessage", 1],
    ["kafkajs eachMessage, 4 partitions at a time", "kafkajs", "eachMessage", 4],
    ["lastcall, by partition, 1 at a time", "lastcall", "partition", 1],
    ["lastcall, by partition, 10 at a time", "lastcall", "partition", 10],
    ["lastcall, by key, 10 at a time", "lastcall", "key", 10]
  ]]
]

let runs = 0
/** Runs one program to the last record: records per second, and the CPU time of each in microseconds. */
const run = async ([name, file, form, concurrency]: Peer, wait: number) => {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", fileURLToPath(new URL(`./peers/${file}.ts`, import.meta.url))],
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        BROKERS: cluster.brokers.join(","),
        TOPIC: topicOf(wait),
        RECORDS: String(countOf(wait)),
        CONCURRENCY: String(concurrency),
        WAIT: String(wait),
        FORM: form,
        GROUP: `bench ${runs++}`
      }
    }
  )
  const bound = setTimeout(() => child.kill("SIGKILL"), 120_000)
  let first = 0
  try {
    for await (const line of createInterface(child.stdout)) {
      const [word, at, cpu] = line.split(" ")
      if (word === "first") first = Number(at)
      if (word === "last") return { rate: countOf(wait) / (Number(at) - first) * 1000, cpu: Number(cpu) }
    }
  } finally {
    clearTimeout(bound)
    child.kill("SIGKILL")
  }
  throw new Error(`${name} did not end`)
}

const results = groups.flatMap(([title, wait, peers]) =>
  peers.filter(([name]) => name.includes(only)).map((peer) => ({
    title,
    wait,
    peer,
    cpu: [] as Array<number>,
    rate: [] as Array<number>
  }))
)
for (let round = 0; round < Number(rounds); round++) {
  for (const { cpu, peer, rate, wait } of results) {
    const result = await run(peer, wait)
    rate.push(result.rate)
    cpu.push(result.cpu)
  }
  console.error(`round ${round + 1} of ${rounds}`)
}

/** The median of the ratios of the rounds. */
const ratio = (of: ReadonlyArray<number>, to: ReadonlyArray<number>) =>
  median(of.map((value, round) => value / to[round]!)).toFixed(2)

console.log(`${cpus()[0]!.model}, Node ${process.versions.node}, ${records} records, ${rounds} rounds`)
for (const [title] of groups) {
  const group = results.filter((result) => result.title === title)
  const [first] = group
  if (first === undefined) continue
  console.log(`\n${title}\n`)
  console.log(table([
    ["", "records per second", "of eachMessage", "CPU per record", "of eachMessage"],
    ...group.map(({ cpu, peer: [name], rate }) => [
      name,
      median(rate).toFixed(0),
      ratio(rate, first.rate),
      `${median(cpu).toFixed(0)} us`,
      ratio(cpu, first.cpu)
    ])
  ]))
}
await cluster.remove()
process.exit()
