import { Context, Effect, type FiberId, FiberRef, FiberRefs, Tracer } from "effect"

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

/** A copy with this entry. Faster than the constructor of `Map`. */
const withEntry = <K, V>(map: ReadonlyMap<K, V>, key: K, value: V): Map<K, V> => {
  const copy = new Map<K, V>()
  for (const [key, value] of map) copy.set(key, value)
  return copy.set(key, value)
}

/** The refs of this fiber with a span. `FiberRefs.updateAs` compares the contexts first, and hashes them for that. */
export const withSpan = (refs: FiberRefs.FiberRefs, id: FiberId.Single, span: Tracer.AnySpan): FiberRefs.FiberRefs => {
  const { unsafeMap } = FiberRefs.getOrDefault(refs, FiberRef.currentContext)
  const context: Context.Context<never> = Context.unsafeMake(withEntry(unsafeMap, Tracer.ParentSpan.key, span))
  return FiberRefs.unsafeMake(withEntry(refs.locals, FiberRef.currentContext, [[id, context]]))
}
