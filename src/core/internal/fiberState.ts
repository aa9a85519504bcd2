import { Context, Effect, type Fiber, type FiberId, FiberRef, FiberRefs, Tracer } from "effect"
import { refsOf, replaceRefs } from "./effectInternals.js"

/** A fiber ref, and a value for it. */
export type RefValue = readonly [FiberRef.FiberRef<unknown>, unknown]

export const refValue = <A>(ref: FiberRef.FiberRef<A>, value: A): RefValue => [
  ref as unknown as FiberRef.FiberRef<unknown>,
  value
]

/** A fiber that runs now. */
export type RunningFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The service, if the fiber has it. No operation of the run loop, where `Effect.serviceOption` is several. */
export const serviceOf = <I, S>(fiber: RunningFiber, tag: Context.Tag<I, S>): S | undefined =>
  fiber.currentContext.unsafeMap.get(tag.key) as S | undefined

/** Whether the fiber has the service. */
export const hasService = <I, S>(tag: Context.Tag<I, S>): Effect.Effect<boolean> =>
  Effect.withFiberRuntime((fiber) => Effect.succeed(serviceOf(fiber, tag) !== undefined))

/** A copy. Faster than the constructor of `Map`, and without an array for each entry. */
const copyOf = <K, V>(map: ReadonlyMap<K, V>): Map<K, V> => {
  const copy = new Map<K, V>()
  map.forEach((value, key) => copy.set(key, value))
  return copy
}

/**
 * Gives refs of the fiber these values for good. For the fiber of one unit of work: `Effect.locally` copies the refs twice for
 * each value, in an acquire-release. `FiberRefs.updateManyAs` compares values first, and hashes contexts for that.
 */
export const setRefs = (fiber: RunningFiber, ...values: ReadonlyArray<RefValue>): void => {
  const locals = copyOf(refsOf(fiber).locals)
  for (const [ref, value] of values) locals.set(ref, [[fiber.id(), value]])
  replaceRefs(fiber, FiberRefs.unsafeMake(locals))
}

/** The context with these services. One copy for all of them, where `Context.add` makes one for each. */
export const addServices = <R>(
  context: Context.Context<R>,
  ...services: ReadonlyArray<readonly [tag: { readonly key: string }, service: unknown]>
): Context.Context<R> => {
  const map = copyOf(context.unsafeMap)
  for (const [{ key }, service] of services) map.set(key, service)
  return Context.unsafeMake(map)
}

/** The refs of this fiber with a span, see `setRefs`. */
export const withSpan = (refs: FiberRefs.FiberRefs, id: FiberId.Single, span: Tracer.AnySpan): FiberRefs.FiberRefs => {
  const context = addServices(FiberRefs.getOrDefault(refs, FiberRef.currentContext), [Tracer.ParentSpan, span])
  return FiberRefs.unsafeMake(copyOf(refs.locals).set(FiberRef.currentContext, [[id, context]]))
}

/** The refs with the context of other refs. */
const withContextOf = (source: FiberRefs.FiberRefs, refs: FiberRefs.FiberRefs): FiberRefs.FiberRefs => {
  const locals = copyOf(refs.locals)
  const context = source.locals.get(FiberRef.currentContext)
  if (context === undefined) locals.delete(FiberRef.currentContext)
  else locals.set(FiberRef.currentContext, context)
  return FiberRefs.unsafeMake(locals)
}

/** Runs the effect with this context, as `Effect.provide` does, in fewer operations. The caller is uninterruptible. */
export const withContext = <A, E, R>(
  context: Context.Context<R>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) => {
    const before = refsOf(fiber)
    setRefs(fiber, refValue(FiberRef.currentContext, context))
    const during = refsOf(fiber)
    return Effect.flatMap(Effect.exit(effect as Effect.Effect<A, E>), (exit) => {
      replaceRefs(fiber, refsOf(fiber) === during ? before : withContextOf(before, refsOf(fiber)))
      return exit
    })
  })
