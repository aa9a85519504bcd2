import { Duration, Effect, Stream } from "effect"
import { causeOf, Database, execute, SqlClientTag } from "../../../database/contract.js"
import { checkTableName, migrate } from "../../internal/jobTable.js"
import { leaseError } from "../../internal/lease.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSourceError, type Service } from "../../JobSource.js"
import { expiring } from "./expiring.js"
import * as Queue from "./queue.js"
import { channelOf, jobTable, statementsOf } from "./statements.js"

/** See `JobSourceSql.layer`. Listens, and expires leases, until the scope closes. */
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
    yield* Effect.forkScoped(expiring({
      sql: reserved,
      statement: statements.expire,
      queues: () => [...queues].map(({ name }) => name),
      every: expireEvery,
      renewEvery
    }))

    const source: Service = {
      durable: true,
      renewEvery,
      open: ({ lease: wanted = lease, name }) =>
        Effect.gen(function*() {
          const failure = (cause: unknown) => new JobSourceError({ operation: "open", queue: name, cause })
          const fault = leaseError(wanted, renewEvery)
          if (fault !== undefined) return yield* failure(fault)
          yield* Effect.mapError(migrate(jobTable(table), sql, execute), (error) => failure(causeOf(error)))
          const wakeUp = yield* WakeUp.make(pollInterval)
          const entry = { name, wakeUp }
          yield* Effect.acquireRelease(
            Effect.sync(() => queues.add(entry)),
            () => Effect.sync(() => queues.delete(entry))
          )
          return Queue.make({ name, lease: Duration.decode(wanted), sql, reserved, statements, wakeUp })
        })
    }
    return source
  })
