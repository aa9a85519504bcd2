import { Effect, Exit, Scope, type Stream } from "effect"
import { currentUnitOfWork } from "../../../core/internal/unitOfWork.js"
import type { Progress } from "../../../core/Shutdown.js"
import {
  abandonedError,
  type Connection,
  type ConnectionError,
  type DriverConnection,
  makeConnection,
  releasedError
} from "./connection.js"
import { makePermits } from "./permits.js"

/**
 * Leases a connection until the scope closes, or until the unit of work of its caller is revoked. The wait for it is as interruptible as
 * its caller.
 */
export type Lease = Effect.Effect<Connection, ConnectionError, Scope.Scope>

/** The connections that can be leased, and the steps that take them back. */
export interface ConnectionPool {
  readonly lease: Lease
  /** Refuses new leases; waiters keep their place. */
  readonly close: Effect.Effect<void>
  /** Completes when no connection is leased and no caller waits for one. */
  readonly awaitIdle: Effect.Effect<void>
  /** Revokes every lease, and fails the waiters. Bounded. */
  readonly revoke: Effect.Effect<void>
  readonly progress: () => Progress
}

/** An open database, with the steps of its release. */
export interface Driver {
  readonly kind: "pglite" | "postgres"
  readonly lease: Lease
  /** The same as `lease` where there is one connection. */
  readonly leaseReserved: Lease
  /** The statement that begins a transaction. */
  readonly begin: string
  readonly listen: (channel: string) => Stream.Stream<string>
  /** Attributes of the spans of statements. */
  readonly attributes: Readonly<Record<string, unknown>>
  readonly quiesce: Effect.Effect<void>
  readonly drain: Effect.Effect<void>
  readonly interrupt: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  readonly progress: () => Progress
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * `connect` runs uninterruptibly and waits inside `restore`, so that a connection that arrives after its caller was interrupted is
 * not lost.
 */
export const makeConnectionPool = (
  size: number,
  connect: (restore: Restore) => Effect.Effect<DriverConnection, ConnectionError>
): ConnectionPool => {
  const permits = makePermits<ConnectionError>(size, releasedError)
  const leased = new Map<Connection, { readonly driver: DriverConnection; readonly permit: Scope.CloseableScope }>()
  const revoked = new WeakSet<Connection>()
  let revoking = false
  let finished = 0
  let cut = 0

  /** Runs once, from the holder or from `revoke`. */
  const giveBack = (connection: Connection) =>
    Effect.suspend(() => {
      const lease = leased.get(connection)
      if (lease === undefined) return Effect.void
      leased.delete(connection)
      if (revoked.has(connection)) cut++
      else finished++
      return Effect.flatMap(connection.usable, lease.driver.giveBack).pipe(
        Effect.zipRight(Scope.close(lease.permit, Exit.void))
      )
    })

  /** Ends a lease from outside. */
  const revoke = (connection: Connection, error: () => ConnectionError) =>
    Effect.suspend(() => {
      revoked.add(connection)
      return Effect.ensuring(connection.revoke(error), giveBack(connection))
    })

  return {
    lease: Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const unit = yield* currentUnitOfWork
        const permit = yield* Scope.make()
        const freePermit = Scope.close(permit, Exit.void)
        const driver = yield* restore(Scope.extend(permits.acquire, permit)).pipe(
          Effect.zipRight(connect(restore)),
          Effect.onError(() => freePermit)
        )
        if (revoking || unit?.isRevoked() === true) {
          yield* Effect.zipRight(driver.giveBack(!revoking), freePermit)
          return yield* Effect.fail(revoking ? releasedError() : abandonedError())
        }
        const connection = makeConnection(driver)
        leased.set(connection, { driver, permit })
        const drop = unit?.hold(revoke(connection, abandonedError))
        yield* Effect.addFinalizer(() => Effect.zipRight(Effect.sync(() => drop?.()), giveBack(connection)))
        return connection
      })
    ),
    close: permits.close,
    awaitIdle: permits.awaitIdle,
    revoke: Effect.zipRight(
      permits.rejectWaiters,
      Effect.suspend(() => {
        revoking = true
        return Effect.forEach([...leased.keys()], (connection) => revoke(connection, releasedError), {
          concurrency: "unbounded",
          discard: true
        })
      })
    ),
    progress: () => ({ inFlight: leased.size, finished, handedBack: 0, cut })
  }
}
