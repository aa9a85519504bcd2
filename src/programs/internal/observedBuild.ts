import { Cause, Effect, ExecutionStrategy, Exit, type Fiber, FiberRef, Layer, Option, Scope } from "effect"
import { acquiring } from "../../core/internal/acquiring.js"
import { type AnyLayer, type LayerOp, type Memoizing, memoizing, opOf } from "../../core/internal/effectInternals.js"
import { countUses } from "../../core/internal/memoMap.js"

type OnFailure = (cause: Cause.Cause<unknown>) => Effect.Effect<void>

/** What happens while a layer is built. */
interface Observers {
  /** A layer fails from which no other layer recovers. Runs before anything is released. */
  readonly onFailure: OnFailure
  /** A finalizer dies that the build itself has run, because the layer failed or was interrupted. */
  readonly onFinalizerFailure: OnFailure
}

/** One layer while it is built. */
interface Part {
  readonly op: LayerOp
  readonly onFailure: OnFailure
  /** Closes the scopes of its own parts, which Effect adds to the scope of the layer only once that is built. */
  readonly scopes: Scope.CloseableScope
}

/** What a failure of a layer means for the layer that it is a part of. */
const failureOf = (layer: AnyLayer, { onFailure, op }: Part): OnFailure => {
  switch (op._op_layer) {
    case "FromEffect":
    case "Scoped":
      // The effect that builds the layer may recover.
      return () => Effect.void
    case "Fold":
      return op.layer !== layer ? onFailure : (cause) => {
        const next = opOf(op.failureK(cause))
        return next._op_layer === "FromEffect" && Exit.isExit(next.effect) && Exit.isFailure(next.effect)
          ? onFailure(next.effect.cause)
          : Effect.void
      }
    default:
      return onFailure
  }
}

/** A build, and what is seen of it from outside. */
export interface ObservedBuild<E, RIn> {
  readonly build: Effect.Effect<unknown, E, RIn>
  /** The fibers that acquire something now, and what: the name of a resource or of a span, if there is one. */
  readonly acquires: Effect.Effect<ReadonlyArray<Option.Option<string>>>
  /** Completes when nothing is being acquired. */
  readonly idle: Effect.Effect<void>
}

/**
 * `Layer.build`, with two differences.
 *
 * Failures are seen when they happen. `Layer.merge` itself fails only when every layer of it has ended, so an acquire that
 * hangs would hide the failure. And what dies in a finalizer looks like what dies in an acquire.
 *
 * Closing the scope releases all that was acquired, also while the build goes on. Effect adds what a layer is made of to the
 * scope only when the layer is built.
 *
 * A build passes each layer of the graph to its memo map. This one is Effect's own, which observes that.
 */
export const observedBuild = <ROut, E, RIn>(
  root: Layer.Layer<ROut, E, RIn>,
  scope: Scope.CloseableScope,
  { onFailure, onFinalizerFailure }: Observers
): Effect.Effect<ObservedBuild<E, RIn>> =>
  Effect.gen(function*() {
    const top: Part = { op: { _op_layer: "MergeAll" }, onFailure, scopes: yield* Scope.make() }
    const current = FiberRef.unsafeMake(top)
    const building = new Set([top])
    const acquires = new Map<Part, Fiber.RuntimeFiber<unknown, unknown>>()
    const idle = yield* Effect.makeLatch(true)
    const observedLayers = new WeakMap<AnyLayer, AnyLayer>()
    const seenDefects = new Set<unknown>()
    const closedLatches = new WeakMap<Scope.Scope, Effect.Latch>()

    /** Opens when a scope is closed: its first finalizer is the last to run. */
    const closedLatch = (scope: Scope.CloseableScope) =>
      Effect.suspend(() => {
        const found = closedLatches.get(scope)
        if (found !== undefined) return Effect.succeed(found)
        const latch = Effect.unsafeMakeLatch()
        closedLatches.set(scope, latch)
        return Effect.as(Scope.addFinalizer(scope, latch.open), latch)
      })

    /** The build may be closing the scope, after an acquire that could not be interrupted: `Scope.close` does not wait for that. */
    const addScope = (part: Part, scope: Scope.CloseableScope) =>
      !building.has(part) ? Effect.void : Effect.flatMap(
        closedLatch(scope),
        (closed) =>
          Scope.addFinalizerExit(part.scopes, (exit) => Effect.zipRight(Scope.close(scope, exit), closed.await))
      )

    /** The defects in the cause that are seen for the first time. */
    const newDefects = (cause: Cause.Cause<unknown>) =>
      [...Cause.defects(cause)].filter((defect) => !seenDefects.has(defect) && seenDefects.add(defect))

    const onExit = ({ onFailure }: Part, exit: Exit.Exit<unknown, unknown>) =>
      Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause) ? onFailure(exit.cause) : Effect.void

    const onAcquired = (part: Part, exit: Exit.Exit<unknown, unknown>) => {
      if (Exit.isFailure(exit)) newDefects(exit.cause)
      return onExit(part, exit)
    }

    /** A part consists of its acquires and of finalizers. */
    const onBuilt = (part: Part, exit: Exit.Exit<unknown, unknown>) => {
      const defects = Exit.isFailure(exit) ? newDefects(exit.cause) : []
      return Effect.zipRight(
        Effect.forEach(defects, (defect) => onFinalizerFailure(Cause.die(defect)), { discard: true }),
        onExit(part, exit)
      )
    }

    const observeAcquire = <A, E, R>(acquire: Effect.Effect<A, E, R>) =>
      Effect.flatMap(FiberRef.get(current), (part) =>
        !building.has(part) ? acquire : Effect.acquireUseRelease(
          Effect.withFiberRuntime<void>((fiber) => {
            acquires.set(part, fiber)
            return idle.close
          }),
          () => acquire,
          (_, exit) => {
            acquires.delete(part)
            return Effect.zipRight(acquires.size === 0 ? idle.open : Effect.void, onAcquired(part, exit))
          }
        ))

    const observeLayer = (layer: AnyLayer): AnyLayer => {
      const op = opOf(layer)
      switch (op._op_layer) {
        case "FromEffect":
          return Layer.effectContext(observeAcquire(op.effect))
        case "Scoped":
          return Layer.scopedContext(Effect.zipRight(
            Effect.flatMap(
              Effect.all([FiberRef.get(current), Effect.scope]),
              ([part, scope]) => addScope(part, scope as Scope.CloseableScope)
            ),
            observeAcquire(op.effect)
          ))
        case "Fresh":
          return Layer.fresh(Layer.scopedContext(
            Effect.flatMap(Effect.scope, (scope) => buildIn(op.layer, scope as Scope.CloseableScope))
          ))
        default:
          return layer
      }
    }

    const observe = (memoMap: Memoizing): Memoizing => {
      const { getOrElseMemoize } = memoMap
      return Object.assign(Object.create(memoMap) as Memoizing, {
        getOrElseMemoize(this: Memoizing, layer: AnyLayer, scope: Scope.CloseableScope) {
          // The map finds a layer by its identity.
          const observed = observedLayers.get(layer) ?? observeLayer(layer)
          observedLayers.set(layer, observed)
          const build = getOrElseMemoize.bind(this)(observed, scope)
          return Effect.flatMap(FiberRef.get(current), (parent) =>
            !building.has(parent) ? build : Effect.acquireUseRelease(
              Effect.gen(function*() {
                const scopes = yield* Scope.make(ExecutionStrategy.parallel)
                const part: Part = { op: opOf(layer), onFailure: failureOf(layer, parent), scopes }
                building.add(part)
                // The scope of an extended layer belongs to others.
                if (parent.op._op_layer !== "ExtendScope") {
                  yield* addScope(parent, scope)
                }
                const closeScopes = (exit: Exit.Exit<unknown, unknown>) =>
                  building.has(part) ? Scope.close(scopes, exit) : Effect.void
                yield* Scope.addFinalizerExit(scope, closeScopes)
                return part
              }),
              (part) => Effect.locally(build, current, part),
              (part, exit) => {
                building.delete(part)
                return onBuilt(part, exit)
              }
            ))
        }
      }) as Memoizing
    }

    const buildIn = <A, E, R>(layer: Layer.Layer<A, E, R>, scope: Scope.CloseableScope) =>
      Effect.flatMap(Layer.makeMemoMap, (made) => {
        const memoMap = countUses(observe(memoizing(made)))
        return Effect.provideService(memoMap.getOrElseMemoize(layer, scope), Layer.CurrentMemoMap, memoMap)
      })

    return {
      build: Effect.ensuring(
        buildIn(root, scope),
        Effect.sync(() =>
          building.delete(top)
        )
      ),
      acquires: Effect.sync(() =>
        Array.from(acquires.values(), (fiber) =>
          Option.orElse(fiber.getFiberRef(acquiring), () =>
            fiber.currentSpan?._tag === "Span" ? Option.some(fiber.currentSpan.name) : Option.none()))
      ),
      idle: idle.await
    }
  })
