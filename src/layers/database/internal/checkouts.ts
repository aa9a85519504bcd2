import type { SqlError } from "@effect/sql"
import { Effect, type Scope } from "effect"
import type { Progress } from "../../../core/Shutdown.js"
import { makeSession, released, type Session, type Wire } from "./session.js"
import { makeSlots } from "./slots.js"

/** A connection, until the scope closes. The wait for it is as interruptible as its caller. */
export type Checkout = Effect.Effect<Session, SqlError.SqlError, Scope.Scope>

/** The connections that are out, and the way to get them back. */
export interface Checkouts {
  readonly checkout: Checkout
  /** Hands out nothing new; those who wait keep their place. */
  readonly close: Effect.Effect<void>
  /** Completes when every connection is back and nobody waits for one. */
  readonly idle: Effect.Effect<void>
  /** Takes every connection away from its holder, and sends away those who wait. Bounded. */
  readonly revoke: Effect.Effect<void>
  readonly progress: () => Progress
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * `connect` runs uninterruptibly and waits inside `restore`, so that a connection made for somebody who has gone is
 * not lost.
 */
export const makeCheckouts = (
  size: number,
  connect: (restore: Restore) => Effect.Effect<Wire, SqlError.SqlError>
): Checkouts => {
  const slots = makeSlots<SqlError.SqlError>(size, released)
  const out = new Map<Session, Wire>()
  const revoked = new WeakSet<Session>()
  let revoking = false
  let finished = 0
  let cut = 0

  /** Once: by its holder, or by who took it from its holder. */
  const checkIn = (session: Session) =>
    Effect.suspend(() => {
      const wire = out.get(session)
      if (wire === undefined) return Effect.void
      out.delete(session)
      if (revoked.has(session)) cut++
      else finished++
      return Effect.flatMap(session.usable, wire.checkIn)
    })

  return {
    checkout: Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        yield* restore(slots.acquire)
        const wire = yield* connect(restore)
        if (revoking) return yield* Effect.zipRight(wire.checkIn(false), Effect.fail(released()))
        const session = makeSession(wire)
        out.set(session, wire)
        yield* Effect.addFinalizer(() => checkIn(session))
        return session
      })
    ),
    close: slots.close,
    idle: slots.idle,
    revoke: Effect.zipRight(
      slots.dismiss,
      Effect.suspend(() => {
        revoking = true
        return Effect.forEach([...out.keys()], (session) => {
          revoked.add(session)
          return Effect.ensuring(session.revoke, checkIn(session))
        }, { concurrency: "unbounded", discard: true })
      })
    ),
    progress: () => ({ inFlight: out.size, finished, handedBack: 0, cut })
  }
}
