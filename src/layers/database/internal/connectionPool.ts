/**
 * Leases of connections. A caller cannot leave the queue of `pg.Pool`, which is how `PgClient` loses connections (sql-pg-leak in docs/upstream);
 * nor can that queue be closed, or a lease be taken back. So `pg.Pool` only opens and keeps connections here, and no caller waits in its queue.
 */
import type { SqlError } from "@effect/sql"
import { Effect, Exit, type Scope, type Stream } from "effect"
import type { ThreadConnection } from "../../../core/internal/threadConnection.js"
import { currentUnitOfWork, type UnitOfWork } from "../../../core/internal/unitOfWork.js"
import type { Progress } from "../../../core/Shutdown.js"
import { Connection } from "./connection.js"
import type { DriverConnection, Query } from "./driverConnection.js"
import type { Errors } from "./errors.js"
import type { Patience } from "./patience.js"
import { makePermits, PermitRequest } from "./permits.js"
import { type Statement, statementOf } from "./statement.js"

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** The connections that can be leased, and the steps that take them back. */
export interface ConnectionPool {
  /** Runs one statement on a connection of its own. Interruption cancels it, and so does the revocation of the caller's unit of work. */
  readonly query: Query
  /**
   * Leases a connection until `giveBack`, or until the unit of work of its caller is revoked. Call it in an uninterruptible region: it waits
   * inside `restore`, so that a connection that arrives after its caller was interrupted is not lost.
   */
  readonly acquire: (restore: Restore) => Effect.Effect<Connection, SqlError.SqlError>
  /** Does nothing the second time. */
  readonly giveBack: (connection: Connection) => void
  /** Leases a connection until the scope closes. The wait for it is as interruptible as its caller. */
  readonly lease: Effect.Effect<Connection, SqlError.SqlError, Scope.Scope>
  /** Refuses new leases; waiters keep their place. */
  readonly close: Effect.Effect<void>
  /** Completes when no connection is leased and no caller waits for one. */
  readonly awaitIdle: Effect.Effect<void>
  /** Revokes every lease, and fails the waiters. Bounded. */
  readonly revoke: Effect.Effect<void>
  /** The connections that are leased. */
  readonly leased: () => ReadonlyArray<Connection>
  /** See `Connection.destroyIfSilent`. Returns whether it has destroyed a connection. */
  readonly destroySilent: (patience: Patience) => boolean
  readonly progress: () => Progress
}

/** An open database, with the steps of its release. */
export interface Driver {
  readonly kind: "pglite" | "postgres"
  readonly pool: ConnectionPool
  /** The same as `pool` where there is one connection. */
  readonly reserved: ConnectionPool
  /** The statements that begin a transaction. */
  readonly begin: ReadonlyArray<string>
  readonly listen: (channel: string) => Stream.Stream<string, SqlError.SqlError>
  /** The same for the library: it never fails. */
  readonly hear: (channel: string) => Stream.Stream<string>
  /** See `Database.Service`. Started anew by each run. */
  readonly thread?: Effect.Effect<ThreadConnection, never, Scope.Scope>
  /** Runs while the database is open. */
  readonly watch: Effect.Effect<unknown>
  readonly quiesce: Effect.Effect<void>
  readonly drain: Effect.Effect<void>
  readonly interrupt: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  readonly progress: () => Progress
}

interface Lease {
  readonly driver: DriverConnection
  readonly permit: PermitRequest
  /** Drops the hold of the unit of work. */
  readonly drop: (() => void) | undefined
}

/** The ways to lease a connection: until `giveBack`, and until the scope closes. */
export const leasing = (
  acquire: ConnectionPool["acquire"],
  giveBack: ConnectionPool["giveBack"]
): Pick<ConnectionPool, "acquire" | "giveBack" | "lease"> => ({
  acquire,
  giveBack,
  lease: Effect.uninterruptibleMask((restore) =>
    Effect.tap(acquire(restore), (connection) => Effect.addFinalizer(() => Effect.sync(() => giveBack(connection))))
  )
})

/** `connect` calls back once, with a connection that is ready for a statement; the pool gives it back also when no caller waits for it. */
export const makeConnectionPool = (
  size: number,
  errors: Errors,
  connect: (done: (exit: Exit.Exit<DriverConnection, SqlError.SqlError>) => void) => void
): ConnectionPool => {
  const permits = makePermits(size)
  const leased = new Map<Connection, Lease>()
  const revoked = new WeakSet<Connection>()
  let revoking = false
  let finished = 0
  let cut = 0

  /** Does nothing the second time. */
  const end = (connection: Connection) => {
    const lease = leased.get(connection)
    if (lease === undefined) return
    leased.delete(connection)
    lease.drop?.()
    if (revoked.has(connection)) cut++
    else finished++
    lease.driver.giveBack(connection.usable)
    permits.leave(lease.permit)
  }

  /** The `ROLLBACK` of a connection that is being revoked is to come: until then no other caller may have it. */
  const giveBack = (connection: Connection) => {
    if (!revoked.has(connection)) end(connection)
  }

  /** Ends a lease from outside. */
  const revoke = (connection: Connection, error: () => SqlError.SqlError) =>
    Effect.suspend(() => {
      revoked.add(connection)
      return Effect.ensuring(connection.revoke(error), Effect.sync(() => end(connection)))
    })

  /**
   * Leases a connection without a fiber that waits for it. Returns the step that takes everything back: the place in the queue, the
   * connection that is still to come, or the lease.
   */
  const checkOut = (
    unit: UnitOfWork | undefined,
    ready: (exit: Exit.Exit<Connection, SqlError.SqlError>) => void
  ) => {
    let connection: Connection | undefined
    const permit = new PermitRequest((outcome) => {
      if (outcome === "refused") return ready(Exit.fail(errors.released()))
      connect((exit) => {
        const isAbandoned = permit.state === "ended"
        if (Exit.isFailure(exit)) {
          if (isAbandoned) return
          permits.leave(permit)
          return ready(Exit.failCause(exit.cause))
        }
        const refused = revoking ? errors.released : unit?.isRevoked() === true ? errors.abandoned : undefined
        if (isAbandoned || refused !== undefined) {
          exit.value.giveBack(!revoking)
          permits.leave(permit)
          if (refused !== undefined && !isAbandoned) ready(Exit.fail(refused()))
          return
        }
        const made = new Connection(exit.value, errors)
        connection = made
        leased.set(made, { driver: exit.value, permit, drop: unit?.hold(revoke(made, errors.abandoned)) })
        ready(Exit.succeed(made))
      })
    })
    permits.request(permit)
    return () => connection === undefined ? permits.leave(permit) : giveBack(connection)
  }

  const acquire = (restore: Restore) =>
    Effect.flatMap(currentUnitOfWork, (unit) => {
      let takeBack: (() => void) | undefined
      const acquired = Effect.async<Connection, SqlError.SqlError>((resume) => {
        takeBack = checkOut(unit, resume)
      })
      return Effect.flatMap(Effect.exit(restore(acquired)), (exit) => {
        if (Exit.isFailure(exit)) takeBack?.()
        return exit
      })
    })

  return {
    query: (text, values, rowMode) =>
      Effect.flatMap(currentUnitOfWork, (unit) =>
        Effect.async((resume) => {
          let running: { readonly connection: Connection; readonly statement: Statement } | undefined
          const takeBack = checkOut(unit, (exit) => {
            if (Exit.isFailure(exit)) return resume(Exit.failCause(exit.cause))
            const connection = exit.value
            const statement = statementOf(text, values, rowMode, (exit) => {
              giveBack(connection)
              resume(exit)
            })
            running = { connection, statement }
            connection.submit(statement)
          })
          return Effect.suspend(() => {
            if (running === undefined) return Effect.sync(takeBack)
            return Effect.ensuring(running.connection.cancel(running.statement), Effect.sync(takeBack))
          })
        })),
    ...leasing(acquire, giveBack),
    close: permits.close,
    awaitIdle: permits.awaitIdle,
    revoke: Effect.zipRight(
      permits.rejectWaiters,
      Effect.suspend(() => {
        revoking = true
        return Effect.forEach([...leased.keys()], (connection) => revoke(connection, errors.released), {
          concurrency: "unbounded",
          discard: true
        })
      })
    ),
    leased: () => [...leased.keys()],
    destroySilent: (patience) =>
      Array.from(leased.keys(), (connection) => connection.destroyIfSilent(patience)).includes(true),
    progress: () => ({ inFlight: leased.size, finished, handedBack: 0, cut })
  }
}
