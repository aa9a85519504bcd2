import { Context, Effect } from "effect"
import { hasService, serviceOf } from "./fiberState.js"

/** What runs once the transaction around has committed, in order. */
export type Hooks = Array<Effect.Effect<void>>

/** Present in a transaction. Owned by the outermost one: what commits is that one. */
export class Committing extends Context.Tag("lastcall/Committing")<Committing, Hooks>() {}

/** Whether the caller is in a transaction, which may still be rolled back. */
export const isInTransaction: Effect.Effect<boolean> = hasService(Committing)

/**
 * Runs the effect when the outermost transaction around has committed, in the fiber and the context of that transaction's
 * caller; at once when there is none. It does not run when that transaction, or a savepoint around, is rolled back.
 */
export const afterCommit = (effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const hooks = serviceOf(fiber, Committing)
    if (hooks === undefined) return effect
    hooks.push(effect)
    return Effect.void
  })

/** Runs the effects that were registered in a transaction which has succeeded. */
export const runHooks = (hooks: Hooks): Effect.Effect<void> => Effect.forEach(hooks, (hook) => hook, { discard: true })

/** Forgets the effects that were registered in a savepoint when it fails. */
export const forgetAfterRollback = <A, E, R>(savepoint: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const hooks = serviceOf(fiber, Committing)
    if (hooks === undefined) return savepoint
    const before = hooks.length
    return Effect.onError(savepoint, () =>
      Effect.sync(() => {
        hooks.length = before
      }))
  })
