import type { Cause, Context, Effect, Fiber, FiberRefs, Layer, Scope } from "effect"

/*
 * All that is read of Effect 3 beyond its public types. The test of this module checks each member, and says what is missing
 * when Effect has changed.
 */

/** The observers of a fiber; empty when Effect does not show them. */
export const observersOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): ReadonlyArray<unknown> =>
  (fiber as { readonly _observers?: ReadonlyArray<unknown> })._observers ?? []

/** How many observers a fiber without a parent has that was only forked: its supervisor, and `Fiber.roots`. */
export const observersOfForked = 2

/**
 * The fiber refs of the fiber. `getFiberRefs` copies them for each call, to put the runtime flags of the fiber among them, which only
 * a join reads.
 */
export const refsOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): FiberRefs.FiberRefs =>
  (fiber as { readonly _fiberRefs?: FiberRefs.FiberRefs })._fiberRefs ?? fiber.getFiberRefs()

/** Replaces the fiber refs of the fiber that runs now. `Effect.updateFiberRefs` copies them first. */
export const replaceRefs = (fiber: Fiber.RuntimeFiber<unknown, unknown>, refs: FiberRefs.FiberRefs): void =>
  (fiber as unknown as { readonly setFiberRefs: (refs: FiberRefs.FiberRefs) => void }).setFiberRefs(refs)

/** Builds a layer, or takes the one that is built, until the scope closes. */
export type Build = <ROut, E, RIn>(
  layer: Layer.Layer<ROut, E, RIn>,
  scope: Scope.Scope
) => Effect.Effect<Context.Context<ROut>, E, RIn>

/** A memo map, with the method by which layers build the layers inside them. */
export interface Memoizing extends Layer.MemoMap {
  readonly getOrElseMemoize: Build
}

export const memoizing = (memoMap: Layer.MemoMap): Memoizing => memoMap as Memoizing

export type AnyLayer = Layer.Layer<never, unknown, unknown>

/** What a layer is made of. Kinds that are not listed are made of other layers, whose failures are their own. */
export type LayerOp =
  | { readonly _op_layer: "FromEffect" | "Scoped"; readonly effect: Effect.Effect<Context.Context<never>, unknown> }
  | {
    readonly _op_layer: "Fold"
    readonly layer: AnyLayer
    readonly failureK: (cause: Cause.Cause<unknown>) => AnyLayer
  }
  | { readonly _op_layer: "Fresh"; readonly layer: AnyLayer }
  | { readonly _op_layer: "ExtendScope" | "MergeAll" }

export const opOf = (layer: AnyLayer): LayerOp => layer as unknown as LayerOp

/** An operation of the run loop. */
export interface Operation {
  readonly _op: string
  readonly effect_instruction_i0?: unknown
  readonly effect_instruction_i1?: unknown
  /** What `Effect.suspend` runs. */
  readonly commit?: unknown
}

export const operationOf = (effect: unknown): Operation => effect as Operation
