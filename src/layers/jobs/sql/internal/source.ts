import { Duration, Effect, Stream } from "effect"
import { optionalPeers, rethrow } from "../../../../core/internal/optionalPeers.js"
import { Database, SqlClientTag } from "../../../database/contract.js"
import { leaseError } from "../../internal/lease.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSourceError, type Service } from "../../JobSource.js"
import { expiring } from "./expiring.js"
import { open } from "./open.js"
import * as Queue from "./queue.js"
import { channelOf, statementsOf } from "./statements.js"

const peers = optionalPeers("JobSourceSql", { "pg-boss": () => import("pg-boss").catch(rethrow) })

/** See `JobSourceSql.layer`. Listens, and expires leases, until the scope closes. */
export const make = (options: {
  readonly schema: string
  readonly lease: Duration.Duration
  readonly expireEvery: Duration.Duration
  readonly pollInterval: Duration.Duration
}) =>
  Effect.gen(function*() {
    const { expireEvery, lease, pollInterval, schema } = options
    const { PgBoss } = (yield* peers)["pg-boss"]
    const { listen, reserved } = yield* Database
    const sql = yield* SqlClientTag
    const statements = statementsOf(schema)
    const renewEvery = Duration.times(lease, 1 / 4)
    const queues = new Set<{ readonly name: string; readonly wakeUp: WakeUp.WakeUp }>()

    yield* Effect.forkScoped(Stream.runForEach(listen(channelOf(schema)), (name) => WakeUp.notify(queues, name)))
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
          const boss = yield* Effect.mapError(open({ PgBoss, sql, schema, queue: name }), failure)
          const wakeUp = yield* WakeUp.make(pollInterval)
          const entry = { name, wakeUp }
          yield* Effect.acquireRelease(
            Effect.sync(() => queues.add(entry)),
            () => Effect.sync(() => queues.delete(entry))
          )
          const leaseSeconds = Math.ceil(Duration.toSeconds(wanted))
          return Queue.make({ boss, name, leaseSeconds, sql, reserved, statements, wakeUp })
        })
    }
    return source
  })
