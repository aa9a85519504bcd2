import { Deferred, Effect, type Scope } from "effect"

interface Waiter<E> {
  readonly granted: Deferred.Deferred<void, E>
  holds: boolean
}

/**
 * A number of permits with a first-in, first-out queue.
 *
 * `Effect.Semaphore` lacks two things: a waiter that is interrupted at the moment it is granted a permit must pass it on, and the
 * queue must be closable.
 */
export interface Permits<E> {
  /** Holds a permit until the scope closes. The wait is as interruptible as its caller. Fails once the queue is closed. */
  readonly acquire: Effect.Effect<void, E, Scope.Scope>
  /** Refuses new waiters; those in the queue keep their place. */
  readonly close: Effect.Effect<void>
  /** Closes the queue and fails its waiters. */
  readonly rejectWaiters: Effect.Effect<void>
  /** Completes when no permit is held and the queue is empty. */
  readonly awaitIdle: Effect.Effect<void>
}

export const makePermits = <E>(size: number, closedError: () => E): Permits<E> => {
  const queue = new Set<Waiter<E>>()
  const idle = Effect.unsafeMakeLatch(true)
  let held = 0
  let closed = false

  const updateIdle = () => held === 0 && queue.size === 0 ? idle.unsafeOpen() : idle.unsafeClose()

  const grant = (waiter: Waiter<E>) => {
    held++
    waiter.holds = true
    Deferred.unsafeDone(waiter.granted, Effect.void)
  }

  const release = () => {
    held--
    const [next] = queue
    if (next !== undefined) {
      queue.delete(next)
      grant(next)
    }
    updateIdle()
  }

  const leave = (waiter: Waiter<E>) => {
    if (waiter.holds) return release()
    queue.delete(waiter)
    updateIdle()
  }

  return {
    acquire: Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<void, E, Scope.Scope>((fiber) => {
        if (closed) return Effect.fail(closedError())
        const waiter: Waiter<E> = { granted: Deferred.unsafeMake(fiber.id()), holds: false }
        if (held < size) grant(waiter)
        else queue.add(waiter)
        updateIdle()
        return restore(Deferred.await(waiter.granted)).pipe(
          Effect.onError(() => Effect.sync(() => leave(waiter))),
          Effect.zipRight(Effect.addFinalizer(() => Effect.sync(release)))
        )
      })
    ),
    close: Effect.sync(() => {
      closed = true
    }),
    rejectWaiters: Effect.sync(() => {
      closed = true
      for (const waiter of queue) Deferred.unsafeDone(waiter.granted, Effect.fail(closedError()))
      queue.clear()
      updateIdle()
    }),
    awaitIdle: idle.await
  }
}
