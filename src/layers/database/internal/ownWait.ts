/** A database with one connection: a fiber that holds it and asks for it again would wait for itself. */
import type { SqlError } from "@effect/sql"
import { Deferred, Effect, FiberRef } from "effect"
import type { Connection } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import type { Errors } from "./errors.js"

interface Holding {
  readonly fiber: number
  readonly ended: Deferred.Deferred<void>
  active: boolean
}

/** The lease that the current fiber, or the one that forked it, took last. */
const current = FiberRef.unsafeMake<Holding | undefined>(undefined)

/** How long a fiber waits for the one that forked it: that one may wait for it, or may end. */
const patience = "10 seconds"

/**
 * Fails where a fiber asks for the connection that it holds itself, and where a fiber that it has forked has waited 10 seconds for it.
 * A transaction asks for none: its statements run on its connection.
 */
export const refuseOwnWait = (pool: ConnectionPool, errors: Errors): ConnectionPool => {
  const holdings = new WeakMap<Connection, Holding>()

  const refused = Effect.suspend(() => errors.ownWait())

  /** Completes when the fiber does not wait for itself. */
  const check = Effect.withFiberRuntime<void, SqlError.SqlError>((fiber) => {
    const holding = fiber.getFiberRef(current)
    if (holding?.active !== true) return Effect.void
    return holding.fiber === fiber.id().id
      ? refused
      : Effect.raceFirst(
        Effect.interruptible(Deferred.await(holding.ended)),
        Effect.interruptible(Effect.delay(refused, patience))
      )
  })

  const hold = (connection: Connection) =>
    Effect.withFiberRuntime<Connection>((fiber) => {
      const holding = { fiber: fiber.id().id, ended: Deferred.unsafeMake<void>(fiber.id()), active: true }
      holdings.set(connection, holding)
      return Effect.as(FiberRef.set(current, holding), connection)
    })

  const giveBack = (connection: Connection) => {
    const holding = holdings.get(connection)
    if (holding !== undefined) {
      holding.active = false
      Deferred.unsafeDone(holding.ended, Effect.void)
    }
    pool.giveBack(connection)
  }

  const acquire: ConnectionPool["acquire"] = (restore) =>
    Effect.flatMap(Effect.zipRight(restore(check), pool.acquire(restore)), hold)

  return {
    ...pool,
    query: (...statement) => Effect.zipRight(check, pool.query(...statement)),
    acquire,
    giveBack,
    lease: Effect.uninterruptibleMask((restore) =>
      Effect.tap(acquire(restore), (connection) => Effect.addFinalizer(() => Effect.sync(() => giveBack(connection))))
    )
  }
}
