/**
 * What is used of kafkajs 2, as types of its own: the public types of lastcall must not need an optional peer.
 */
type Bytes = Buffer | null

/** Headers as the driver has them. */
export interface DriverHeaders {
  [name: string]: Buffer | string | Array<Buffer | string> | undefined
}

interface DriverBatch {
  readonly topic: string
  readonly partition: number
  readonly highWatermark: string
  readonly messages: ReadonlyArray<{
    readonly key: Bytes
    readonly value: Bytes
    readonly timestamp: string
    readonly offset: string
    readonly headers?: DriverHeaders | undefined
  }>
  lastOffset(): string
}

interface Offsets {
  topics: Array<{ topic: string; partitions: Array<{ partition: number; offset: string }> }>
}

/** What `eachBatch` gets. */
export interface EachBatchPayload {
  readonly batch: DriverBatch
  resolveOffset(offset: string): void
  commitOffsetsIfNecessary(offsets?: Offsets): Promise<void>
}

interface Partitions {
  topic: string
  partitions?: Array<number>
}

/** A consumer of the driver. */
export interface DriverConsumer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: { topics: Array<string>; fromBeginning?: boolean }): Promise<void>
  run(config: {
    autoCommit: boolean
    eachBatchAutoResolve: boolean
    partitionsConsumedConcurrently: number
    eachBatch: (payload: EachBatchPayload) => Promise<void>
  }): Promise<void>
  seek(offset: { topic: string; partition: number; offset: string }): void
  pause(partitions: Array<Partitions>): void
  resume(partitions: Array<Partitions>): void
  on(
    event: "consumer.group_join",
    listener: (event: {
      payload: { memberAssignment: { [topic: string]: Array<number> } }
    }) => void
  ): unknown
  on(event: "consumer.heartbeat", listener: (event: never) => void): unknown
  on(
    event: "consumer.crash",
    listener: (event: { payload: { error: Error; restart: boolean } }) => void
  ): unknown
}

/** A broker, by its address. */
interface Broker {
  readonly connectionPool: { readonly host: string; readonly port: number }
}

/** The view of the cluster that belongs to one consumer. */
export interface Cluster {
  connect(): Promise<unknown>
  /** Runs at the beginning of each join. */
  findGroupCoordinator(group: { groupId: string }): Promise<Broker>
  /** Runs at the beginning of each fetch. */
  refreshMetadataIfNecessary(): Promise<unknown>
  /** Forgets a broker with its connections. The next refresh finds it anew. */
  removeBroker(address: Broker["connectionPool"]): void
}

/** Makes the assigner of a consumer. What it returns is passed on unseen. */
export type PartitionAssigner = (config: { readonly cluster: Cluster }) => never

interface DriverProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: {
    topic: string
    acks?: number
    messages: Array<{
      key?: Buffer | string | null
      value: Buffer | string | null
      partition?: number
      headers?: DriverHeaders
    }>
  }): Promise<unknown>
}

/** An instance of the class `Kafka` of kafkajs. */
export interface DriverKafka {
  consumer(config: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    heartbeatInterval: number
    maxWaitTimeInMs: number
    partitionAssigners: Array<PartitionAssigner>
  }): DriverConsumer
  producer(config: { idempotent: boolean; maxInFlightRequests?: number }): DriverProducer
}

/** The settings of the driver that `KafkaClient.layer` uses. */
export interface DriverConfig {
  brokers: Array<string>
  clientId: string
  ssl: boolean
  sasl?: { mechanism: string; username: string; password: string }
  logLevel: number
  logCreator: () => (entry: { readonly namespace: string; readonly log: { readonly message: string } }) => void
}

/** The module of the driver. */
export interface Driver {
  readonly Kafka: new(config: DriverConfig) => DriverKafka
  readonly PartitionAssigners: { readonly roundRobin: PartitionAssigner }
}
