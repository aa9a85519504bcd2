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

class Holds implements UnitOfWork {
  /** Most units hold nothing. */
  private entries: Set<Effect.Effect<void>> | undefined = undefined
  private revoked = false

  isRevoked(): boolean {
    return this.revoked
  }

  hold(revoke: Effect.Effect<void>): () => void {
    const entry = Effect.suspend(() => revoke)
    const entries = this.entries ??= new Set()
    entries.add(entry)
    return () => void entries.delete(entry)
  }

  get revoke(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.revoked = true
      const entries = [...this.entries ?? []]
      this.entries?.clear()
      return Effect.all(entries, { concurrency: "unbounded", discard: true })
    })
  }
}

export const makeUnitOfWork = (): UnitOfWork => new Holds()

/** The unit of work that the current fiber belongs to. Forks inherit it. */
const current = FiberRef.unsafeMake<UnitOfWork | undefined>(undefined)

/** Makes a fiber, and what it forks, a part of the unit. */
export const ofUnitOfWork = (unit: UnitOfWork): RefValue => refValue(current, unit)

export const currentUnitOfWork: Effect.Effect<UnitOfWork | undefined> = FiberRef.get(current)
