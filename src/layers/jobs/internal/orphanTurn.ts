import { Effect } from "effect"
import type { OrphanTurn } from "../JobSource.js"

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
