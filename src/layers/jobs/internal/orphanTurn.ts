import { Effect } from "effect"

/**
 * Whether an orphan runs in this process. A job that ends its process spends an attempt of each job that runs beside it, but
 * no more than one: these are orphans then, and run beside it no more.
 *
 * @since 0.1.0
 * @category models
 */
export interface OrphanTurn {
  /** Whether an orphan runs. */
  readonly isTaken: () => boolean
  /** Takes the turn for an orphan that is about to run. Returns `false` when it is taken. */
  readonly take: () => boolean
  /** The orphan has ended: another one may run. */
  readonly release: Effect.Effect<void>
  /** Completes when it is not taken. */
  readonly awaitRelease: Effect.Effect<void>
}
export const makeOrphanTurn = (): OrphanTurn => {
  const released = Effect.unsafeMakeLatch(true)
  let taken = false
  return {
    isTaken: () => taken,
    take: () => {
      if (taken) return false
      released.unsafeClose()
      return taken = true
    },
    release: Effect.suspend(() => {
      taken = false
      return released.open
    }),
    awaitRelease: released.await
  }
}
