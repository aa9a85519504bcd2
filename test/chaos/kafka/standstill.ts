// What the members, the cluster and the database of a round were at when nothing was consumed any more.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { groupId } from "../../fixtures/kafka/chaosRecord.js"
import { committedOffsets, type ThrowawayKafka } from "../../kit/kafkaServer.js"
import { adminQuery } from "../../kit/postgresServer.js"
import type { Cluster } from "../cluster.js"
import { services } from "./schedule.js"

/** The last lines that match. */
const tail = (text: string, count: number, match = /./): ReadonlyArray<string> =>
  text.split("\n").filter((line) => match.test(line)).slice(-count)

const readIfThere = (path: string): string => Fs.existsSync(path) ? Fs.readFileSync(path, "utf8") : ""

const section = (title: string, lines: ReadonlyArray<string>) => [`${title}:`, ...lines.map((line) => `  ${line}`)]

const query = async (title: string, url: string, text: string) => {
  const rows = await adminQuery(url, text).catch((error: unknown) => [{ error: String(error) }])
  return section(title, rows.map((row) => JSON.stringify(row)))
}

/**
 * For each process its logs: those of the driver have its assignments, and what it has paused. Of the cluster, what it did with the
 * group; of the database, positions, transactions and which of them waits for which.
 */
export const standstillOf = async (
  { cluster, folder, server, topics, url }: {
    readonly cluster: Cluster
    readonly folder: string
    readonly server: ThrowawayKafka
    readonly topics: ReadonlyArray<string>
    readonly url: string
  }
): Promise<ReadonlyArray<string>> => {
  const processes = Array.from({ length: services }, (_, index) => {
    const instance = cluster.at(index + 1)
    if (instance === undefined) return [`process ${index + 1} is not there`]
    const stat = readIfThere(`/proc/${instance.process.pid}/stat`).split(" ")[2] ?? "gone"
    const driver = readIfThere(Path.join(folder, `kafkajs-${instance.name}`))
    return [
      ...section(`process ${instance.name}, state ${stat}, says`, tail(instance.output, 15)),
      ...section(`the driver of ${instance.name} says`, tail(driver, 15))
    ]
  })
  const committed = await Promise.all(
    topics.map(async (topic) => {
      const offsets = committedOffsets(server, groupId, topic).then(
        (offsets) => offsets.join(", "),
        (error: unknown) => String(error)
      )
      return `${topic}: ${await Promise.race([offsets, new Promise((done) => setTimeout(done, 5_000, "no answer"))])}`
    })
  )
  return [
    ...server.failure === undefined ? [] : [`THE MOCK CLUSTER HAS ENDED: ${server.failure}`],
    ...processes.flat(),
    ...section("the cluster says of the group", tail(readIfThere(Path.join(folder, "cluster")), 40, /group|ember/)),
    ...section("committed", committed),
    ...await query("positions", url, "SELECT * FROM lastcall_kafka_partitions ORDER BY topic, partition"),
    ...await query(
      "attempts",
      url,
      "SELECT * FROM lastcall_kafka_records WHERE NOT done ORDER BY topic, partition LIMIT 40"
    ),
    ...await query(
      "transactions",
      url,
      `SELECT pid, state, wait_event, pg_blocking_pids(pid)::text AS blocked_by, now() - xact_start AS age, left(query, 60) AS query
       FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
    )
  ]
}
