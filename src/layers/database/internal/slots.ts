import { Deferred, Effect, type Scope } from "effect"

/** The ticket of one who waits, or holds. */
interface Ticket<E> {
  readonly turn: Deferred.Deferred<void, E>
  granted: boolean
}

/**
 * A number of slots and the line before them, first come, first served.
 *
 * A semaphore would do, were it not for two things: one who is interrupted in the very moment in which the slot is
 * given to them must hand it on, and the line can be closed.
 */
export interface Slots<E> {
  /**
   * Holds a slot until the scope closes. The wait is as interruptible as its caller. Fails once the line is closed.
   */
  readonly acquire: Effect.Effect<void, E, Scope.Scope>
  /** Lets nobody new into the line. Those who wait keep their place. */
  readonly close: Effect.Effect<void>
  /** Closes, and sends away those who wait. */
  readonly dismiss: Effect.Effect<void>
  /** Completes when no slot is held and nobody waits. */
  readonly idle: Effect.Effect<void>
}

export const makeSlots = <E>(size: number, refusal: () => E): Slots<E> => {
  const line = new Set<Ticket<E>>()
  const idle = Effect.unsafeMakeLatch(true)
  let held = 0
  let closed = false

  const settle = () => held === 0 && line.size === 0 ? idle.unsafeOpen() : idle.unsafeClose()

  const grant = (ticket: Ticket<E>) => {
    held++
    ticket.granted = true
    Deferred.unsafeDone(ticket.turn, Effect.void)
  }

  const release = () => {
    held--
    const [next] = line
    if (next !== undefined) {
      line.delete(next)
      grant(next)
    }
    settle()
  }

  const leave = (ticket: Ticket<E>) => {
    if (ticket.granted) return release()
    line.delete(ticket)
    settle()
  }

  return {
    acquire: Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<void, E, Scope.Scope>((fiber) => {
        if (closed) return Effect.fail(refusal())
        const ticket: Ticket<E> = { turn: Deferred.unsafeMake(fiber.id()), granted: false }
        if (held < size) grant(ticket)
        else line.add(ticket)
        settle()
        return restore(Deferred.await(ticket.turn)).pipe(
          Effect.onError(() => Effect.sync(() => leave(ticket))),
          Effect.zipRight(Effect.addFinalizer(() => Effect.sync(release)))
        )
      })
    ),
    close: Effect.sync(() => {
      closed = true
    }),
    dismiss: Effect.sync(() => {
      closed = true
      for (const ticket of line) Deferred.unsafeDone(ticket.turn, Effect.fail(refusal()))
      line.clear()
      settle()
    }),
    idle: idle.await
  }
}
