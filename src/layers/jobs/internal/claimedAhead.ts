import type { Claim } from "../JobSource.js"
import type { WhileBlocked } from "./whileBlocked.js"

/** Jobs of a pool that are claimed, and have not started. Their leases are renewed while the event loop is blocked, as those of jobs that run. */
export interface ClaimedAhead {
  readonly size: () => number
  readonly add: (claims: ReadonlyArray<Claim>) => void
  /** Removes the first ones. */
  readonly take: (count: number) => ReadonlyArray<Claim>
  /** Removes the one with this token, if there is one. */
  readonly drop: (token: string) => void
}

export const makeClaimedAhead = (whileBlocked: WhileBlocked | undefined): ClaimedAhead => {
  const claims: Array<Claim> = []
  const letGo = new Map<Claim, () => void>()
  const remove = (start: number, count: number) => {
    const removed = claims.splice(start, count)
    for (const claim of removed) {
      letGo.get(claim)?.()
      letGo.delete(claim)
    }
    return removed
  }
  return {
    size: () => claims.length,
    add: (added) => {
      claims.push(...added)
      if (whileBlocked !== undefined) added.forEach((claim) => letGo.set(claim, whileBlocked.hold(claim)))
    },
    take: (count) => remove(0, count),
    drop: (token) => {
      const index = claims.findIndex((claim) => claim.token === token)
      if (index >= 0) remove(index, 1)
    }
  }
}
