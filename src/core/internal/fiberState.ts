import { type Context, Effect, type FiberId, FiberRef, FiberRefs } from "effect"

/** A fiber ref, and a value for it. */
export type RefValue = readonly [FiberRef.FiberRef<unknown>, unknown]

export const refValue = <A>(ref: FiberRef.FiberRef<A>, value: A): RefValue => [
  ref as unknown as FiberRef.FiberRef<unknown>,
  value
]

/**
 * Gives the fiber refs these values for good. For the fiber of one unit of work: `Effect.locally` copies the refs twice for
 * each value, in an acquire-release.
 */
export const setRefs = (...[first, ...others]: readonly [RefValue, ...Array<RefValue>]): Effect.Effect<void> =>
  Effect.updateFiberRefs((id, refs) => {
    const entry = ([ref, value]: RefValue) => [ref, [[id, value]]] as const
    return FiberRefs.updateManyAs(refs, { entries: [entry(first), ...others.map(entry)] })
  })

export const restoreRefs = (refs: FiberRefs.FiberRefs): Effect.Effect<void> => Effect.updateFiberRefs(() => refs)

/** The refs of this fiber with another context. `FiberRefs.updateAs` compares the contexts first, and hashes them for that. */
export const withContext = (
  refs: FiberRefs.FiberRefs,
  id: FiberId.Single,
  context: Context.Context<never>
): FiberRefs.FiberRefs => FiberRefs.unsafeMake(new Map(refs.locals).set(FiberRef.currentContext, [[id, context]]))
