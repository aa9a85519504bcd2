import type { SqlClient } from "@effect/sql"
import { Duration, Effect, type Scope, Stream } from "effect"
import {
  Database,
  execute,
  executeOwn,
  type Row,
  SqlClientTag,
  warnOfFewConnections
} from "../../../database/contract.js"
import { makeCancellations } from "../../internal/cancellations.js"
import { endedPrefix, makeJobEnds } from "../../internal/jobEnds.js"
import { checkTableName, type JobTable, migrate } from "../../internal/jobTable.js"
import { queueLease } from "../../internal/lease.js"
import { reapLeases } from "../../internal/leaseReaper.js"
import { makeOrphanTurn } from "../../internal/orphanTurn.js"
import { makePausedQueues } from "../../internal/pausedQueues.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { renewWhileBlocked } from "../../internal/whileBlocked.js"
import type { JobSourceError, Service } from "../../JobSource.js"
import { type Claiming, claimingFromTable } from "./claiming.js"
import { endsOf } from "./ends.js"
import { keyedPrefix } from "./keyTable.js"
import { type KeyTurns, makeKeyTurns } from "./keyTurns.js"
import { listStatementsOf } from "./listStatements.js"
import { makeNotifier } from "./notifier.js"
import * as Queue from "./queue.js"
import { failureOf, runOn } from "./rows.js"
import { channelOf, jobTable, pausedPrefix, type Statements, statementsOf } from "./statements.js"

/** What a source is made of. */
export interface Ledger {
  readonly table: string
  readonly pollInterval: Duration.Duration
  /** Joins the transaction of the caller. */
  readonly sql: SqlClient.SqlClient
  /** A client that never waits behind jobs. */
  readonly reserved: SqlClient.SqlClient
  readonly statements: Statements
  readonly turns: KeyTurns
}

/** How a source finds jobs. */
export interface Finder {
  /** Whether it finds jobs by priority. */
  readonly priorities: boolean
  /** The table has notified this queue, or all of them. */
  readonly notify: (name: string) => Effect.Effect<void>
  readonly open: (
    queue: { readonly name: string; readonly lease: Duration.Duration }
  ) => Effect.Effect<Claiming, JobSourceError, Scope.Scope>
}

/** See `JobSourceSql.layer` and `layerCarried`. Listens, and reaps expired leases, until the scope closes. */
export const make = <E, R>(
  options: {
    readonly table: string
    readonly lease: Duration.Duration
    readonly expireEvery: Duration.Duration
    readonly pollInterval: Duration.Duration
    readonly capacity: number
    readonly renewWhileBlocked: boolean
  },
  finding: {
    /** What it needs in the database besides the table of jobs. */
    readonly tables?: (table: string) => ReadonlyArray<JobTable>
    readonly make: (ledger: Ledger) => Effect.Effect<Finder, E, R>
  }
) =>
  Effect.gen(function*() {
    const { capacity, expireEvery, lease, pollInterval, table } = options
    yield* checkTableName(table)
    const database = yield* Database
    const { listen, reserved } = database
    const startThread = options.renewWhileBlocked ? database.thread : undefined
    const sql = yield* SqlClientTag
    const statements = statementsOf(table)
    const listStatements = listStatementsOf(table)
    const renewEvery = Duration.times(lease, 1 / 4)
    const queues = new Set<{ readonly name: string }>()
    const tables = [jobTable(table), ...finding.tables?.(table) ?? []]
    // On the reserved connection: a lock that all processes wait for must not wait for the jobs of this one.
    const turns = makeKeyTurns(reserved, statements)
    const finder = yield* finding.make({ table, pollInterval, sql, reserved, statements, turns })

    const cancellations = makeCancellations()
    const jobEnds = yield* makeJobEnds(pollInterval)
    const pausedQueues = yield* makePausedQueues({
      pollInterval,
      read: (names) =>
        execute(reserved, statements.paused, [names]).pipe(
          Effect.mapBoth({
            onSuccess: (rows) => rows.map(({ queue }) => queue as string),
            onFailure: failureOf(names.join(", "))("paused")
          })
        )
    })

    /** Acts on a notification of the table. */
    const receive = (payload: string): Effect.Effect<void> => {
      const cancelled = cancellations.receive(payload)
      if (cancelled !== undefined) return cancelled
      if (payload.startsWith(pausedPrefix)) return pausedQueues.look
      if (payload.startsWith(endedPrefix)) return Effect.sync(() => jobEnds.receive(payload))
      if (payload.startsWith(keyedPrefix)) {
        const name = payload.slice(keyedPrefix.length)
        turns.changed(name)
        return finder.notify(name)
      }
      if (payload === WakeUp.everyQueue) {
        turns.changed(payload)
        jobEnds.receive(payload)
      }
      return payload === WakeUp.everyQueue
        ? Effect.zipRight(pausedQueues.look, finder.notify(payload))
        : finder.notify(payload)
    }
    const notifier = yield* makeNotifier({ channel: channelOf(table), sql, reserved, receive })
    yield* Effect.forkScoped(
      Stream.runForEach(
        listen(channelOf(table)),
        (payload) => notifier.isEcho(payload) ? Effect.void : receive(payload)
      )
    )
    yield* Effect.forkScoped(reapLeases({
      every: expireEvery,
      renewEvery,
      grace: Duration.times(renewEvery, 2),
      graceAtStart: false,
      // A statement on a bare connection is a transaction of its own. In one of ours, a process that is frozen between two
      // statements would keep the lock that lets one process reap at a time.
      reach: Effect.map(reserved.reserve, (connection) =>
        Effect.suspend(() => {
          const names = Array.from(queues, ({ name }) => name)
          return names.length === 0
            ? Effect.succeed([])
            : Effect.map(
              connection.execute(statements.reap, [names], undefined),
              (rows) =>
                (rows as ReadonlyArray<Row>).map(({ jobs, queue }) => ({
                  queue: queue as string,
                  jobs: jobs as number
                }))
            )
        }))
    }))

    const source: Service = {
      durable: true,
      priorities: finder.priorities,
      keys: true,
      dependencies: true,
      renewEvery,
      orphanTurn: makeOrphanTurn(),
      open: (options) =>
        Effect.gen(function*() {
          const { name } = options
          yield* warnOfFewConnections(database, options)
          const ownLease = yield* queueLease(options, lease, renewEvery)
          const migrated = Effect.mapError(
            Effect.forEach(tables, (table) => migrate(table, sql, executeOwn), { discard: true }),
            failureOf(name)("open")
          )
          // Only a pool runs jobs, and has a concurrency.
          const starting = options.concurrency === undefined ? undefined : startThread
          const [thread] = yield* Effect.all([starting ?? Effect.succeed(undefined), migrated], {
            concurrency: "unbounded"
          })
          const claiming = yield* finder.open({ name, lease: ownLease })
          const entry = { name }
          yield* Effect.acquireRelease(
            Effect.sync(() => queues.add(entry)),
            () => Effect.sync(() => queues.delete(entry))
          )
          const setPaused = (paused: boolean) =>
            Effect.asVoid(runOn(reserved, name)("setPaused", paused ? statements.pause : statements.resume))
          const pause = yield* pausedQueues.open({ name, write: setPaused })
          const { priorities } = finder
          const parts = { sql, reserved, statements, listStatements, claiming, notifier, priorities, capacity }
          const whileBlocked = thread === undefined
            ? undefined
            : yield* renewWhileBlocked(thread, {
              lease: ownLease,
              message: statements.renewByFence(name, Duration.toSeconds(ownLease)),
              textOf: ({ token }) => token
            })
          return {
            ...Queue.make({ ...parts, name, lease: ownLease }),
            ...pause,
            awaitEnd: jobEnds.open(endsOf(name, runOn(reserved, name), statements)),
            whileBlocked,
            onCancel: cancellations.open(name)
          }
        })
    }
    return source
  })

/** Finds jobs in the table itself. */
export const makeTableFinder = ({ pollInterval, sql, statements, turns }: Ledger): Effect.Effect<Finder> =>
  Effect.sync(() => {
    const queues = new Set<WakeUp.Waiting>()
    return {
      priorities: true,
      notify: (name) => WakeUp.notify(queues, name),
      open: ({ lease, name }) =>
        Effect.gen(function*() {
          const wakeUp = yield* WakeUp.register(queues, name, pollInterval)
          return claimingFromTable({ queue: name, run: runOn(sql, name), statements, lease, wakeUp, turns })
        })
    }
  })
