import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"

/** Whether a mock cluster can be started here: it is part of librdkafka, which Debian's kcat brings. */
export const hasKafka = (): boolean => spawnSync("kcat", ["-V"]).status === 0

/** Where the brokers are. */
export interface KafkaPlace {
  /** Known once the cluster was created. */
  readonly brokers: ReadonlyArray<string>
}

/**
 * librdkafka's mock cluster, on loopback: records in memory, consumer groups with rebalances, idempotent producers. Topics are
 * created when they are first used, with four partitions. Unlike Kafka it takes no offsets during a rebalance, refuses a
 * member that asks for its partitions after all others have theirs (so a rebalance between two live members fails on a slow
 * machine), takes the session timeout less a second for each change of the members, also when the last one leaves, and names no
 * controller, which the idempotent producer of kafkajs needs. It ends itself when a member joins by a second connection before it has
 * noticed the end of the first one (of a connection that waits in a join it notices a reset only, see `cuttableProxy`), and answers nothing
 * any more on a connection whose member's session ends while it waits in a join, as when it was frozen.
 */
export class ThrowawayKafka implements KafkaPlace {
  brokers: ReadonlyArray<string> = []
  private child: ChildProcess | undefined
  private exited: Promise<unknown> = Promise.resolve()
  private removed = false
  /** Its last words, when it has ended by itself: a check of its own state has failed. */
  failure: string | undefined

  /** With `log`, the cluster writes what it does into this file: each request is a line. */
  constructor(private readonly size = 1, private readonly log?: string) {}

  /** kcat waits for records on its standard input, and the cluster lives as long as it does. */
  create = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = spawn(
        "kcat",
        ["-P", "-t", "unused", "-b", "unused", "-X", `test.mock.num.brokers=${this.size}`, "-X", "debug=mock"],
        { stdio: ["pipe", "ignore", "pipe"] }
      )
      let output = ""
      let last = ""
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
        if (this.log !== undefined) Fs.appendFileSync(this.log, chunk)
        last = chunk
        if (this.brokers.length > 0) return
        output += chunk
        const [, brokers] = /Mock cluster \S+ bootstrap\.servers=(\S+)\n/.exec(output) ?? []
        if (brokers === undefined) return
        this.brokers = brokers.split(",")
        resolve()
      })
      this.exited = new Promise((exited) =>
        child.once("close", () => {
          reject(new Error(`kcat ended: ${output}`))
          if (!this.removed) this.failure = last.trim().split("\n").at(-1)
          exited(undefined)
        })
      )
      this.child = child
    })

  /** Stops all brokers: their sockets stay open and accept connections, but nothing responds until `thaw`. */
  freeze = (): void => void this.child?.kill("SIGSTOP")
  thaw = (): void => void this.child?.kill("SIGCONT")

  remove = async (): Promise<void> => {
    this.removed = true
    this.child?.kill("SIGKILL")
    await this.exited
  }
}

/** What the tests use of kafkajs: they look at a group from outside. */
interface Kafka {
  admin(): {
    connect(): Promise<void>
    disconnect(): Promise<void>
    fetchOffsets(options: { groupId: string; topics: Array<string> }): Promise<
      ReadonlyArray<{ topic: string; partitions: ReadonlyArray<{ partition: number; offset: string }> }>
    >
  }
}

const kafka = async (brokers: ReadonlyArray<string>): Promise<Kafka> => {
  const { default: { Kafka } } = await (import("kafkajs" as string) as Promise<
    { default: { Kafka: new(config: { brokers: ReadonlyArray<string>; logLevel: number }) => Kafka } }
  >)
  return new Kafka({ brokers, logLevel: 0 })
}

/** The committed offset of each partition of a topic, in order of the partitions; -1 where there is none. */
export const committedOffsets = async (
  { brokers }: KafkaPlace,
  groupId: string,
  topic: string
): Promise<ReadonlyArray<number>> => {
  const admin = (await kafka(brokers)).admin()
  await admin.connect()
  try {
    const [found] = await admin.fetchOffsets({ groupId, topics: [topic] })
    return [...found!.partitions].sort((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset))
  } finally {
    await admin.disconnect()
  }
}
