// Checked by tsc; a run only shows that these expressions can be evaluated.
import { type ConfigError, Context, Effect, Layer, type Scope } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import * as Drain from "../../src/core/Drain.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import type { BudgetError } from "../../src/core/ShutdownConfig.js"
import * as TaskSupervisor from "../../src/core/TaskSupervisor.js"
import { launch, type LaunchError } from "../../src/programs/launch.js"
import * as TestApp from "../../src/testing/TestApp.js"

class Store extends Context.Tag("Store")<Store, { readonly rows: number }>() {}
class Clients extends Context.Tag("Clients")<Clients, number>() {}
class Metrics extends Context.Tag("Metrics")<Metrics, string>() {}

class OpenError {
  readonly _tag = "OpenError"
}

const store = Layer.effect(
  Store,
  Effect.flatMap(Clients, (rows) => rows > 0 ? Effect.succeed({ rows }) : Effect.fail(new OpenError()))
)

describe("launch", () => {
  it("fails with a LaunchError, never returns, and requires what the layer requires", () => {
    expectTypeOf(launch()(store)).toEqualTypeOf<Effect.Effect<never, LaunchError, Clients>>()
    expectTypeOf(store.pipe(launch({ gracePeriod: "20 seconds" }))).toEqualTypeOf<
      Effect.Effect<never, LaunchError, Clients>
    >()
    expectTypeOf(launch()(Layer.empty)).toEqualTypeOf<Effect.Effect<never, LaunchError>>()
  })
})

describe("Drain.layer", () => {
  it("keeps the services, errors and requirements of the layer, and adds BudgetError", () => {
    expectTypeOf(store.pipe(Drain.layer("store"))).toEqualTypeOf<Layer.Layer<Store, OpenError | BudgetError, Clients>>()
  })

  it("gives its steps the services of the layer, and adds their requirements", () => {
    const drained = store.pipe(Drain.layer("store", {
      drain: (services: Context.Context<Store>) => Effect.as(Metrics, Context.get(services, Store))
    }))
    expectTypeOf(drained).toEqualTypeOf<Layer.Layer<Store, OpenError | BudgetError, Clients | Metrics>>()
  })
})

describe("Drain.acquire", () => {
  it("has the errors of acquire and BudgetError, and the requirements of acquire, of the steps, and of a scope", () => {
    const acquired = Drain.acquire({
      name: "store",
      acquire: Effect.gen(function*() {
        const rows = yield* Clients
        return rows > 0 ? { rows } : yield* Effect.fail(new OpenError())
      }),
      drain: ({ rows }) => Effect.zipRight(Metrics, Effect.fail(rows)),
      release: () => Effect.void
    })
    expectTypeOf(acquired).toEqualTypeOf<
      Effect.Effect<{ rows: number }, OpenError | BudgetError, Clients | Metrics | Scope.Scope>
    >()
  })
})

describe("Drain.acquire: acquire in a pipe", () => {
  it("gives its result to the steps", () => {
    void Drain.acquire({
      name: "store",
      acquire: Clients.pipe(Effect.map((rows) => ({ rows }))),
      drain: (store) => {
        expectTypeOf(store).toEqualTypeOf<{ rows: number }>()
        return Effect.void
      }
    })
  })
})

describe("TestApp.start", () => {
  it("fails as a start can, and requires what the layer requires, and a scope", () => {
    expectTypeOf(TestApp.start(store)).toEqualTypeOf<
      Effect.Effect<
        TestApp.TestApp,
        TestApp.NotStarted | BudgetError | ConfigError.ConfigError,
        Clients | Scope.Scope
      >
    >()
  })
})

describe("Lifecycle.make", () => {
  it("fails when its options are refused, and requires nothing", () => {
    expectTypeOf(Lifecycle.make()).toEqualTypeOf<
      Effect.Effect<Lifecycle.Lifecycle, ConfigError.ConfigError | BudgetError>
    >()
  })
})

describe("TaskSupervisor", () => {
  it("runs tasks of any result and error, and provides their scope", () => {
    const task = Effect.zipRight(Effect.addFinalizer(() => Effect.void), Effect.zipRight(Metrics, Effect.fail("no")))
    expectTypeOf(TaskSupervisor.fork(task)).toEqualTypeOf<Effect.Effect<void, TaskSupervisor.TaskRefused, Metrics>>()
    expectTypeOf(TaskSupervisor.layer({ name: "tasks" })).toEqualTypeOf<
      Layer.Layer<TaskSupervisor.TaskSupervisor, BudgetError>
    >()
  })
})
