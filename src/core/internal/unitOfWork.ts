import { Effect, FiberRef } from "effect"
import { type RefValue, refValue } from "./fiberState.js"

/** What a unit of work, such as a job, holds of resources that can be taken from it. */
export interface UnitOfWork {
  /** Whether it was revoked: a resource gives it nothing more. */
  readonly isRevoked: () => boolean
  /** Adds a hold with its revocation. Returns the function that drops the hold. */
  readonly hold: (revoke: Effect.Effect<void>) => () => void
  /** Revokes every hold, all of them at a time. */
  readonly revoke: Effect.Effect<void>
}

export const makeUnitOfWork = (): UnitOfWork => {
  const holds = new Set<Effect.Effect<void>>()
  let revoked = false
  return {
    isRevoked: () => revoked,
    hold: (revoke) => {
      const entry = Effect.suspend(() => revoke)
      holds.add(entry)
      return () => void holds.delete(entry)
    },
    revoke: Effect.suspend(() => {
      revoked = true
      const entries = [...holds]
      holds.clear()
      return Effect.all(entries, { concurrency: "unbounded", discard: true })
    })
  }
}

/** The unit of work that the current fiber belongs to. Forks inherit it. */
const current = FiberRef.unsafeMake<UnitOfWork | undefined>(undefined)

/** Makes a fiber, and what it forks, a part of the unit. */
export const ofUnitOfWork = (unit: UnitOfWork): RefValue => refValue(current, unit)

export const currentUnitOfWork: Effect.Effect<UnitOfWork | undefined> = FiberRef.get(current)
