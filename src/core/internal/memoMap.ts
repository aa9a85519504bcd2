import { type Context, Effect, Layer, Predicate, Scope } from "effect"
import type { Build, Memoizing } from "./effectInternals.js"

/** The uses of one built layer, and what runs when the last of them has ended. */
interface Uses {
  count: number
  readonly afterwards: Array<Effect.Effect<void>>
}

const TypeId: unique symbol = Symbol.for("lastcall/MemoMap")

/** A memo map that counts the uses of each layer. */
export interface CountingMemoMap extends Memoizing {
  readonly [TypeId]: {
    readonly buildUncounted: Build
    readonly begin: (layer: object, context: Context.Context<never>) => Uses
  }
}

const isCounting = (memoMap: Layer.MemoMap): memoMap is CountingMemoMap => Predicate.hasProperty(memoMap, TypeId)

const end = (uses: Uses): Effect.Effect<void> =>
  Effect.suspend(() =>
    --uses.count === 0 ? Effect.forEach(uses.afterwards.splice(0), (effect) => effect, { discard: true }) : Effect.void
  )

/**
 * A memo map, over another, that knows when the last use of a layer ends. Effect's own closes a shared layer in the scope of
 * its last user, and tells no other user.
 */
export const countUses = (memoMap: Memoizing): CountingMemoMap => {
  const builds = new WeakMap<object, WeakMap<Context.Context<never>, Uses>>()

  const begin = (layer: object, context: Context.Context<never>): Uses => {
    const ofLayer = builds.get(layer) ?? new WeakMap<Context.Context<never>, Uses>()
    const uses = ofLayer.get(context) ?? { count: 0, afterwards: [] }
    builds.set(layer, ofLayer.set(context, uses))
    uses.count++
    return uses
  }
  // Layers that are built inside this one go through `this`, so they are counted.
  const buildUncounted: Build = (layer, scope) => memoMap.getOrElseMemoize.bind(counting)(layer, scope)

  const counting: CountingMemoMap = Object.assign(Object.create(memoMap) as Memoizing, {
    getOrElseMemoize: <ROut, E, RIn>(layer: Layer.Layer<ROut, E, RIn>, scope: Scope.Scope) =>
      Effect.suspend(() => {
        let uses: Uses | undefined
        // Added before the release of the layer, and so runs after it.
        return Scope.addFinalizer(scope, Effect.suspend(() => uses === undefined ? Effect.void : end(uses))).pipe(
          Effect.zipRight(buildUncounted(layer, scope)),
          Effect.tap((context) => Effect.sync(() => (uses = begin(layer, context))))
        )
      }),
    [TypeId]: { buildUncounted, begin }
  })
  return counting
}

/** Builds a layer, or takes the one that is built, until the scope closes. It counts as a use only with `beginUse`. */
export const build: Build = (layer, scope) =>
  Effect.flatMap(Layer.CurrentMemoMap, (memoMap) =>
    isCounting(memoMap)
      ? memoMap[TypeId].buildUncounted(layer, scope)
      : Layer.buildWithMemoMap(layer, memoMap, scope))

/**
 * Begins a use of a layer that was built. The returned function ends it, and runs its argument when no use is left: now, or
 * where the last one ends. With a memo map that is not ours it always runs now.
 */
export const beginUse = <ROut, E, RIn>(
  layer: Layer.Layer<ROut, E, RIn>,
  context: Context.Context<ROut>
): Effect.Effect<(afterwards: Effect.Effect<void>) => Effect.Effect<void>> =>
  Effect.map(Layer.CurrentMemoMap, (memoMap) => {
    if (!isCounting(memoMap)) return (afterwards) => afterwards
    const uses = memoMap[TypeId].begin(layer, context)
    return (afterwards) =>
      Effect.suspend(() => {
        uses.afterwards.push(afterwards)
        return end(uses)
      })
  })
