/**
 * A database with one connection: a fiber that holds it and asks for it again would wait for itself, and everything else waits behind a
 * fiber that keeps it. `pg` and `@effect/sql-pg` have no such case: a pool has another connection.
 */
import type { SqlError } from "@effect/sql"
import { Context, Deferred, Effect, FiberRef, Option, Schedule, Tracer } from "effect"
import type { Connection } from "./connection.js"
import { type ConnectionPool, leasing } from "./connectionPool.js"
import type { Errors } from "./errors.js"

interface Holding {
  readonly fiber: number
  /** The spans that it was taken in, from the outermost. */
  readonly spans: ReadonlyArray<string>
  readonly ended: Deferred.Deferred<void>
  active: boolean
  /** How often others were found waiting for it. */
  sightings: number
}

/** The lease that the current fiber, or the one that forked it, took last. */
const current = FiberRef.unsafeMake<Holding | undefined>(undefined)

/** How long a fiber waits for the one that forked it: that one may wait for it, or may end. */
const patience = "10 seconds"

/** A lease that others are found waiting for twice is reported: after 10 to 20 seconds. */
const watching = { every: patience, sightings: 2 } as const

const spansOf = (span: Tracer.AnySpan | undefined): ReadonlyArray<string> =>
  span === undefined || span._tag === "ExternalSpan"
    ? []
    : [...spansOf(Option.getOrUndefined(span.parent)), span.name]

/** A pool that refuses a wait that cannot end, with an effect that reports the others that take long. */
export interface WatchedPool {
  readonly pool: ConnectionPool
  /** Logs a warning for each lease that others wait for. Runs while the database is open. */
  readonly watch: Effect.Effect<unknown>
}

/**
 * Fails where a fiber asks for the connection that it holds itself, and where a fiber that it has forked has waited 10 seconds for it.
 * A transaction asks for none: its statements run on its connection.
 */
export const refuseOwnWait = (pool: ConnectionPool, errors: Errors): WatchedPool => {
  const holdings = new Map<Connection, Holding>()
  let waiting = 0

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

  /** Counts it as waiting while another fiber has the connection. */
  const counted = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      if (holdings.size === 0) return effect
      waiting++
      return Effect.ensuring(effect, Effect.sync(() => void waiting--))
    })

  const hold = (connection: Connection) =>
    Effect.withFiberRuntime<Connection>((fiber) => {
      const span = Context.getOption(fiber.currentContext as Context.Context<never>, Tracer.ParentSpan)
      const holding = {
        fiber: fiber.id().id,
        spans: spansOf(Option.getOrUndefined(span)),
        ended: Deferred.unsafeMake<void>(fiber.id()),
        active: true,
        sightings: 0
      }
      holdings.set(connection, holding)
      return Effect.as(FiberRef.set(current, holding), connection)
    })

  const giveBack = (connection: Connection) => {
    const holding = holdings.get(connection)
    if (holding !== undefined) {
      holdings.delete(connection)
      holding.active = false
      Deferred.unsafeDone(holding.ended, Effect.void)
    }
    pool.giveBack(connection)
  }

  const acquire: ConnectionPool["acquire"] = (restore) =>
    Effect.flatMap(Effect.zipRight(restore(check), counted(pool.acquire(restore))), hold)

  const report = Effect.suspend(() => {
    const long = [...holdings].filter(([connection, holding]) =>
      // One that is not usable has been taken from its holder.
      waiting > 0 && connection.usable && ++holding.sightings === watching.sightings
    )
    return Effect.forEach(long, ([, { fiber, spans }]) =>
      Effect.logWarning(
        `the embedded database has one connection, which fiber #${fiber} has held for more than ${patience}` +
          `${spans.length === 0 ? "" : ` in ${spans.join(" > ")}`}: ${waiting} others wait for it`
      ), { discard: true })
  })

  return {
    pool: {
      ...pool,
      query: (...statement) => Effect.zipRight(check, counted(pool.query(...statement))),
      ...leasing(acquire, giveBack)
    },
    watch: Effect.repeat(report, Schedule.spaced(watching.every))
  }
}
