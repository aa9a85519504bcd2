import { Context, Effect, Option } from "effect"
import { hasService } from "./fiberState.js"

/** What runs once the transaction around has committed, in order. */
type Hooks = Array<Effect.Effect<void>>

/** Present in a transaction. Owned by the outermost one: what commits is that one. */
class Committing extends Context.Tag("lastcall/Committing")<Committing, Hooks>() {}

/** Whether the caller is in a transaction, which may still be rolled back. */
export const isInTransaction: Effect.Effect<boolean> = hasService(Committing)

/**
 * Runs the effect when the outermost transaction around has committed, in the fiber and the context of that transaction's
 * caller; at once when there is none. It does not run when that transaction, or a savepoint around, is rolled back.
 */
export const afterCommit = (effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.serviceOption(Committing),
    Option.match({
      onNone: () => effect,
      onSome: (hooks) => Effect.sync(() => void hooks.push(effect))
    })
  )

/** Runs the effects that were registered in a transaction once it has succeeded. Uninterruptible, if `transaction` is. */
export const runAfterCommit = <A, E, R>(
  transaction: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Committing>> =>
  Effect.suspend(() => {
    const hooks: Hooks = []
    return Effect.tap(
      Effect.provideService(transaction, Committing, hooks),
      () => hooks.length === 0 ? Effect.void : Effect.forEach(hooks, (hook) => hook, { discard: true })
    )
  })

/** Forgets the effects that were registered in a savepoint when it fails. */
export const forgetAfterRollback = <A, E, R>(savepoint: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.serviceOption(Committing), (hooks) => {
    if (Option.isNone(hooks)) return savepoint
    const before = hooks.value.length
    return Effect.onError(savepoint, () =>
      Effect.sync(() => {
        hooks.value.length = before
      }))
  })
