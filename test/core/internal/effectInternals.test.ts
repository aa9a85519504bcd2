// What we read of Effect's internals is there. Where one of these fails, Effect has changed: see who imports the reader.
import { NodeRuntime } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  FiberRefs,
  FiberSet,
  Layer,
  RuntimeFlags,
  RuntimeFlagsPatch,
  Scope,
  Supervisor
} from "effect"
import { isOfRunMain } from "../../../src/core/Host.js"
import {
  type AnyLayer,
  memoizing,
  observersOf,
  observersOfForked,
  type Operation,
  operationOf,
  opOf,
  refsOf,
  replaceRefs
} from "../../../src/core/internal/effectInternals.js"
import { mainFiber } from "../../../src/core/internal/mainFiber.js"

class Port extends Context.Tag("Port")<Port, number>() {}

describe("A fiber of Effect", () => {
  it.scoped("shows its observers, and who waits for it is one of them", () =>
    Effect.gen(function*() {
      const set = yield* FiberSet.make()
      const forked = yield* Effect.forkDaemon(Effect.never)
      assert.include(
        [1, observersOfForked],
        observersOf(forked).length,
        "fiber._observers: a fiber that was only forked has other observers than its supervisor and Fiber.roots. " +
          "Without this, daemons that a scope or a set ends are waited for, or no daemon is"
      )
      const others = {
        "Effect.forkScoped": yield* Effect.forkScoped(Effect.never),
        "FiberSet.run": yield* FiberSet.run(set, Effect.never),
        "Fiber.join": yield* Effect.forkDaemon(Effect.never)
      }
      yield* Effect.forkScoped(Fiber.join(others["Fiber.join"]))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      for (const [name, fiber] of Object.entries(others)) {
        assert.isAbove(observersOf(fiber).length, observersOfForked, `fiber._observers: ${name} adds no observer`)
      }
      yield* Fiber.interrupt(forked)
    }))

  it("of Effect.run* is named by the fiber refs of its descendants", async () => {
    const nested = Effect.forkDaemon(Effect.fork(mainFiber).pipe(Effect.flatMap(Fiber.join)))
    const fiber = Effect.runFork(Effect.zipLeft(Effect.flatMap(nested, Fiber.join), Effect.yieldNow()))
    const main = await Effect.runPromise(Fiber.join(fiber))
    assert.strictEqual(
      main,
      fiber,
      "FiberRefs.locals: the context does not name the fiber that Effect.run* has started"
    )
  })
})

describe("The refs of a fiber of Effect", () => {
  it.effect("can be replaced by the fiber itself", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("a")
      const refs = yield* Effect.getFiberRefs
      yield* FiberRef.set(ref, "b")
      yield* Effect.withFiberRuntime<void>((fiber) => Effect.sync(() => replaceRefs(fiber, refs)))
      assert.strictEqual(yield* FiberRef.get(ref), "a")
    }))

  it.effect("can be read without a copy", () =>
    Effect.withFiberRuntime((fiber) => {
      const ref = FiberRef.unsafeMake("a")
      const before = refsOf(fiber)
      assert.strictEqual(
        refsOf(fiber),
        before,
        "fiber._fiberRefs is gone: jobs and transactions copy their refs several times"
      )
      return Effect.map(FiberRef.set(ref, "b"), () => {
        assert.notStrictEqual(refsOf(fiber), before)
        assert.strictEqual(FiberRefs.getOrDefault(refsOf(fiber), ref), "b")
      })
    }))
})

describe("A layer of Effect", () => {
  const effect = Effect.succeed(Context.make(Port, 1))
  const layer = Layer.effectContext(effect) as unknown as AnyLayer

  it("shows what it is made of", () => {
    const kinds = {
      FromEffect: layer,
      Scoped: Layer.scopedContext(effect) as unknown as AnyLayer,
      Fold: Layer.catchAll(layer, () => layer),
      Fresh: Layer.fresh(layer),
      ExtendScope: Layer.extendScope(layer) as AnyLayer,
      MergeAll: Layer.mergeAll(layer, layer)
    }
    for (const [kind, made] of Object.entries(kinds)) {
      assert.strictEqual(
        opOf(made)._op_layer,
        kind,
        "layer._op_layer: a start no longer sees the failure of a layer at once"
      )
    }
  })

  it("shows the effect that builds it, and the layer inside of it", () => {
    for (const made of [layer, Layer.scopedContext(Effect.never) as AnyLayer]) {
      const op = opOf(made)
      assert.isTrue("effect" in op && Effect.isEffect(op.effect), `${op._op_layer}.effect`)
    }
    const fresh = opOf(Layer.fresh(layer))
    assert.isTrue("layer" in fresh && fresh.layer === layer, "Fresh.layer")
  })

  it("shows how it recovers from a failure, and that it does not", () => {
    const nextOf = (made: AnyLayer) => {
      const op = opOf(made)
      if (op._op_layer !== "Fold") return assert.fail(`Fold: the layer is a ${op._op_layer}`)
      assert.strictEqual(op.layer, layer, "Fold.layer")
      return opOf(op.failureK(Cause.die("no")))
    }
    const recovered = nextOf(Layer.catchAllCause(layer, () => layer))
    assert.strictEqual(recovered, opOf(layer), "Fold.failureK: the layer that takes the place of a failed one")
    const failed = nextOf(Layer.catchAll(layer, () => layer))
    assert.deepInclude(
      failed,
      { _op_layer: "FromEffect", effect: Exit.die("no") },
      "Fold.failureK: a failure from which the layer does not recover"
    )
  })

  it.effect("is built through the method of its memo map, and so are the layers inside of it", () =>
    Effect.gen(function*() {
      const built: Array<unknown> = []
      const made = memoizing(yield* Layer.makeMemoMap)
      assert.isFunction(made.getOrElseMemoize, "memoMap.getOrElseMemoize: no layer can be built")
      const observed = Object.assign(Object.create(made) as typeof made, {
        getOrElseMemoize(this: typeof made, inner: AnyLayer, scope: Scope.Scope) {
          built.push(inner)
          return made.getOrElseMemoize.bind(this)(inner, scope)
        }
      })
      const port = Layer.succeed(Port, 1)
      const user = Layer.effectDiscard(Port)
      const app = Layer.provide(user, port)
      yield* observed.getOrElseMemoize(app, yield* Scope.make())
      for (const inner of [app, user, port]) {
        assert.include(
          built,
          inner,
          "memoMap.getOrElseMemoize: uses of shared layers are not counted, and a start does not see what is acquired"
        )
      }
    }))
})

describe("An operation of Effect's run loop", () => {
  /** The operations of a program, as its supervisor sees them. */
  const operationsOf = (program: Effect.Effect<unknown>) => {
    const seen: Array<Operation> = []
    class Tracer extends Supervisor.AbstractSupervisor<void> {
      readonly value = Effect.void
      override onEffect(_: unknown, effect: unknown) {
        seen.push(operationOf(effect))
      }
    }
    return Effect.flatMap(Effect.fork(program), Fiber.join).pipe(
      Effect.supervised(new Tracer()),
      Effect.withRuntimeFlagsPatch(RuntimeFlagsPatch.enable(RuntimeFlags.OpSupervision)),
      Effect.as(seen)
    )
  }

  it.effect("shows its kind and its functions", () =>
    Effect.gen(function*() {
      const then = () => Effect.void
      const suspended = () => Effect.void
      const seen = yield* operationsOf(Effect.flatMap(Effect.suspend(suspended), then))
      const find = (kind: string) => seen.filter(({ _op }) => _op === kind)
      assert.include(find("OnSuccess").map((_) => _.effect_instruction_i1), then, "effect._op OnSuccess, its function")
      assert.include(find("Commit").map((_) => _.commit), suspended, "effect._op Commit, its function")
    }))
})

describe("The signal listener of runMain", () => {
  it("is known by its source", () => {
    const listeners: Array<unknown> = []
    const note = (event: string | symbol, listener: unknown) => {
      if (event === "SIGTERM") listeners.push(listener)
    }
    process.on("newListener", note)
    NodeRuntime.runMain(Effect.void, { teardown: () => undefined })
    process.off("newListener", note)
    assert.deepStrictEqual(
      listeners.map(isOfRunMain),
      [true],
      "the SIGTERM listener of runMain: duplicates of its signals end the process, and it is warned of as foreign"
    )
  })
})
