/**
 * A number of permits with a first-in, first-out queue. `Effect.Semaphore` lacks three things: a queue that can be closed, a permit without a
 * fiber that waits for it, and a waiter that passes on the permit which it is granted at the moment of its interruption.
 */
import { Effect } from "effect"

/** Asks for one permit, once. `onEnd` is called with `granted`, or with `refused` when the queue is closed. */
export class PermitRequest {
  state: "waiting" | "granted" | "ended" = "waiting"
  constructor(readonly onEnd: (outcome: "granted" | "refused") => void) {}
}

/** Permits, and the queue of the requests for them. */
export interface Permits {
  /** Calls back at once when a permit is free or the queue is closed, and else when it is the request's turn. */
  readonly request: (request: PermitRequest) => void
  /** Returns the permit, or leaves the queue. Does nothing the second time. */
  readonly leave: (request: PermitRequest) => void
  /** Refuses new requests; those in the queue keep their place. */
  readonly close: Effect.Effect<void>
  /** Closes the queue and refuses the requests in it. */
  readonly rejectWaiters: Effect.Effect<void>
  /** Completes when no permit is held and the queue is empty. */
  readonly awaitIdle: Effect.Effect<void>
}

export const makePermits = (size: number): Permits => {
  const queue = new Set<PermitRequest>()
  const idle = Effect.unsafeMakeLatch(true)
  let held = 0
  let closed = false

  const updateIdle = () => held === 0 && queue.size === 0 ? idle.unsafeOpen() : idle.unsafeClose()

  const grant = (request: PermitRequest) => {
    held++
    request.state = "granted"
    request.onEnd("granted")
  }

  const refuse = (request: PermitRequest) => {
    request.state = "ended"
    request.onEnd("refused")
  }

  return {
    request: (request) => {
      if (closed) return refuse(request)
      if (held < size) grant(request)
      else queue.add(request)
      updateIdle()
    },
    leave: (request) => {
      const { state } = request
      if (state === "ended") return
      request.state = "ended"
      if (state === "waiting") queue.delete(request)
      else {
        held--
        const [next] = queue
        if (next !== undefined) {
          queue.delete(next)
          grant(next)
        }
      }
      updateIdle()
    },
    close: Effect.sync(() => {
      closed = true
    }),
    rejectWaiters: Effect.sync(() => {
      closed = true
      const waiting = [...queue]
      queue.clear()
      waiting.forEach(refuse)
      updateIdle()
    }),
    awaitIdle: idle.await
  }
}
