import {
  type Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  Option,
  Runtime,
  RuntimeFlags,
  type Scope
} from "effect"
import * as Drain from "../../../core/Drain.js"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import { defaultDaemonTimeout, makeDaemons } from "../../../core/internal/daemons.js"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { Shutdown } from "../../../core/Shutdown.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import type { KafkaError, Service as KafkaClientService } from "../contract.js"
import { commit, commitLoop } from "./commits.js"
import { makeConsumerMetrics } from "./consumerMetrics.js"
import { condition, type Consumer, progress } from "./consumerState.js"
import { makeDeadLetter } from "./deadLetter.js"
import { makeGeneration } from "./generation.js"
import type { Ledger } from "./ledger.js"
import { uncount } from "./ledgerRecords.js"
import { interruptRecords, lose, memberEvents, sessionLoop, stopStarting } from "./membership.js"

/** The settings of a consumer, see `KafkaConsumer.Options`. */
export interface Settings<out E> extends
  Drain.Timeouts,
  Pick<
    Consumer,
    | "name"
    | "groupId"
    | "order"
    | "concurrency"
    | "maxUncommitted"
    | "commitCount"
    | "commitInterval"
    | "revocationTimeout"
    | "sessionTimeout"
    | "retry"
    | "isPermanent"
    | "batchSize"
    | "process"
  >
{
  readonly topics: ReadonlyArray<string>
  readonly fromBeginning: boolean
  readonly deadLetterTopic: string | undefined
  readonly quiesceOn: Drain.Steps<unknown>["quiesceOn"]
  /** Makes the ledger, if there is one. */
  readonly makeLedger: Effect.Effect<Ledger, E> | undefined
  /** The services of `process`, in whose context it is run. */
  readonly services: Context.Context<never>
}

/** How long the last commit is tried again: shorter than a release may take, which also leaves the group. */
const lastCommitTimeout = Duration.millis(2_500)

/** Commits what is done before the group is left. What cannot be committed is delivered again, and counts as cut. */
const lastCommit = (consumer: Consumer): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { generation, name } = consumer
    const exit = yield* commit(consumer, generation).pipe(
      Effect.retry({ schedule: backoff("500 millis"), while: ({ reason }) => reason !== "MembershipLost" }),
      bounded({ within: lastCommitTimeout })
    )
    const left = generation.uncommitted
    let above = 0
    for (const { offsets } of generation.partitions.values()) above += offsets.doneAbove
    if (above > 0) {
      yield* Effect.logInfo(
        `${name}: ${above} finished records are delivered again: they follow one that is not finished`
      )
    }
    if (left === 0) return
    consumer.counts.cut += left
    // The report counts from the beginning of the drain.
    consumer.counts.finished -= Math.min(left, consumer.counts.finished - consumer.finishedBefore)
    const error = Option.isSome(exit) && Exit.isFailure(exit.value) ? exit.value.cause : undefined
    yield* Effect.logError(`${name}: ${left} finished records could not be committed, and are delivered again`, error)
  })

/** Joins the group and processes its records, until the current scope closes, which drains them. */
export const makeConsumer = <E>(
  client: KafkaClientService,
  settings: Settings<E>
): Effect.Effect<void, KafkaError | BudgetError | E, Scope.Scope> =>
  Effect.gen(function*() {
    const { deadLetterTopic, fromBeginning, groupId, name, topics } = settings
    const workers = new WeakSet<Fiber.RuntimeFiber<unknown, unknown>>()
    // Released after the records.
    const daemons = yield* makeDaemons({
      name,
      daemonTimeout: defaultDaemonTimeout,
      releaseTimeout: settings.releaseTimeout,
      isUnit: (fiber) => workers.has(fiber)
    })
    const runtime = yield* daemons.own(Effect.provide(Effect.runtime<never>(), settings.services))
    const runWorker = Runtime.runFork(Runtime.disableRuntimeFlag(runtime, RuntimeFlags.Interruption))
    const deadLetter = deadLetterTopic === undefined ? undefined : makeDeadLetter({
      name,
      groupId,
      topic: deadLetterTopic,
      producer: yield* client.producer({ idempotent: false })
    })
    const shutdown = yield* Shutdown
    const ledger = settings.makeLedger === undefined ? undefined : yield* settings.makeLedger
    const make = Effect.gen(function*() {
      const member = yield* client.member({
        groupId,
        topics,
        fromBeginning,
        sessionTimeout: Duration.toMillis(settings.sessionTimeout)
      })
      const consumer: Consumer = {
        ...settings,
        fork: (worker) => {
          const fiber = runWorker(worker, { immediate: false })
          workers.add(fiber)
          return fiber
        },
        deadLetter,
        ledger,
        suspects: yield* Effect.makeSemaphore(1),
        claiming: yield* Effect.makeSemaphore(1),
        opening: undefined,
        lose: (generation, why) => lose(consumer, generation, why),
        member,
        shutdown,
        metrics: makeConsumerMetrics(name, yield* FiberRef.get(FiberRef.currentMetricLabels)),
        counts: { finished: 0, handedBack: 0, cut: 0 },
        committing: yield* Effect.makeSemaphore(1),
        uncommitted: yield* Effect.makeLatch(false),
        manyUncommitted: yield* Effect.makeLatch(false),
        generation: yield* makeGeneration([], new Map()),
        kept: new Map(),
        seenAt: yield* monotonicMillis,
        draining: false,
        finishedBefore: 0,
        trouble: undefined,
        hasJoined: false
      }
      yield* member.start(memberEvents(consumer))
      const loops = yield* Effect.forEach(
        [
          commitLoop(consumer, (generation) => consumer.lose(generation, "its commit was refused")),
          sessionLoop(consumer)
        ],
        (loop) => Effect.forkDaemon(Effect.interruptible(loop))
      )
      return { consumer, loops }
    })

    yield* Drain.acquire({
      name,
      drainTimeout: settings.drainTimeout,
      releaseTimeout: settings.releaseTimeout,
      quiesceOn: settings.quiesceOn,
      acquire: make,
      quiesce: ({ consumer }) =>
        Effect.suspend(() => {
          consumer.draining = true
          consumer.opening = undefined
          consumer.finishedBefore = consumer.counts.finished
          const { generation } = consumer
          return Effect.zipRight(
            stopStarting(consumer, generation),
            consumer.member.pause(Array.from(generation.partitions.values()))
          )
        }),
      drain: ({ consumer }) =>
        Effect.suspend(() =>
          Effect.all([consumer.generation.inFlight.awaitEmpty, consumer.generation.waiting.awaitEmpty])
        ),
      interrupt: ({ consumer }) =>
        Effect.suspend(() =>
          Effect.zipRight(interruptRecords(consumer.generation), consumer.generation.inFlight.awaitEmpty)
        ),
      // The group is left also when the last commit has failed.
      release: ({ consumer, loops }) =>
        Effect.suspend(() => Effect.zipRight(lastCommit(consumer), uncount(consumer, consumer.generation))).pipe(
          Effect.ensuring(Effect.suspend(() => {
            consumer.generation.state = "Closed"
            consumer.opening = undefined
            return Fiber.interruptAll(loops)
          })),
          Effect.zipRight(consumer.member.leave)
        ),
      progress: ({ consumer }) => progress(consumer),
      names: ({ consumer }) =>
        consumer.generation.inFlight.units().map(({ data: { delivery: { record, rest } } }) =>
          `${record.topic}/${record.partition}@${record.offset}` +
          (rest.length === 0 ? "" : ` to ${rest.at(-1)!.record.offset}`)
        ),
      condition: ({ consumer }) => condition(consumer)
    })
  })
