import { Duration, Effect, Stream } from "effect"
import { causeOf, Database, execute, type Row, SqlClientTag } from "../../../database/contract.js"
import { checkTableName, migrate } from "../../internal/jobTable.js"
import { queueLease } from "../../internal/lease.js"
import { reapLeases } from "../../internal/leaseReaper.js"
import { makeOrphanTurn } from "../../internal/orphanTurn.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSourceError, type Service } from "../../JobSource.js"
import * as Queue from "./queue.js"
import { channelOf, jobTable, statementsOf } from "./statements.js"

/** See `JobSourceSql.layer`. Listens, and reaps expired leases, until the scope closes. */
export const make = (options: {
  readonly table: string
  readonly lease: Duration.Duration
  readonly expireEvery: Duration.Duration
  readonly pollInterval: Duration.Duration
}) =>
  Effect.gen(function*() {
    const { expireEvery, lease, pollInterval, table } = options
    yield* checkTableName(table)
    const { listen, reserved } = yield* Database
    const sql = yield* SqlClientTag
    const statements = statementsOf(table)
    const renewEvery = Duration.times(lease, 1 / 4)
    const queues = new Set<{ readonly name: string; readonly wakeUp: WakeUp.WakeUp }>()

    yield* Effect.forkScoped(Stream.runForEach(listen(channelOf(table)), (name) => WakeUp.notify(queues, name)))
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
      renewEvery,
      orphanTurn: makeOrphanTurn(),
      open: (options) =>
        Effect.gen(function*() {
          const { name } = options
          const ownLease = yield* queueLease(options, lease, renewEvery)
          yield* Effect.mapError(
            migrate(jobTable(table), sql, execute),
            (error) => new JobSourceError({ operation: "open", queue: name, cause: causeOf(error) })
          )
          const wakeUp = yield* WakeUp.make(pollInterval)
          const entry = { name, wakeUp }
          yield* Effect.acquireRelease(
            Effect.sync(() => queues.add(entry)),
            () => Effect.sync(() => queues.delete(entry))
          )
          return Queue.make({ name, lease: ownLease, sql, reserved, statements, wakeUp })
        })
    }
    return source
  })
