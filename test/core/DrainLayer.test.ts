import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import * as Drain from "../../src/core/Drain.js"
import type { BudgetError } from "../../src/core/ShutdownConfig.js"
import * as Journal from "../../src/testing/Journal.js"
import * as TestApp from "../../src/testing/TestApp.js"

describe("Drain.layer", () => {
  class Store extends Context.Tag("Store")<Store, string>() {}

  const store = (journal: Journal.Journal) =>
    Layer.scoped(
      Store,
      Effect.acquireRelease(Effect.as(journal.note("store opened"), "store"), () => journal.note("store closed"))
    )

  it.scoped("bounds the release of any layer, and releases its dependencies after it", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const app = yield* TestApp.start(
        Layer.scopedDiscard(Effect.addFinalizer(() => Effect.never)).pipe(
          Drain.layer("exporter", { releaseTimeout: "2 seconds" }),
          Layer.provide(store(journal))
        )
      )
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(
        report.drains.map(({ name, outcome, reason }) => ({ name, outcome, reason })),
        [{ name: "exporter", outcome: "Abandoned", reason: "release not done within 2s" }]
      )
      assert.deepStrictEqual(yield* journal.lines, ["0ms store opened", "2s store closed"])
    }))

  it.scoped("builds a shared layer once, and releases it after the last dependent", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const shared = store(journal)
      const user = (name: string) =>
        Layer.scopedDiscard(Effect.zipRight(Store, Effect.addFinalizer(() => journal.note(`${name} closed`)))).pipe(
          Layer.provide(shared),
          Drain.layer(name)
        )
      const app = yield* TestApp.start(user("a").pipe(Layer.provideMerge(user("b"))))
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.deepStrictEqual(
        yield* journal.lines,
        ["0ms store opened", "0ms a closed", "0ms b closed", "0ms store closed"]
      )
    }))

  /** The journal and the report of an app in which `drained` and `bare` use one store, `bare` for half a second longer. */
  const shareStore = (
    launch: (drained: Layer.Layer<never, BudgetError>, bare: Layer.Layer<never>) => Layer.Layer<never, BudgetError>
  ) =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const shared = store(journal)
      const user = (name: string, takes: Duration.DurationInput) =>
        Layer.scopedDiscard(Effect.zipRight(
          Store,
          Effect.addFinalizer(() => Effect.delay(journal.note(`${name} closed`), takes))
        ))
      const app = yield* TestApp.start(launch(
        user("drained", 0).pipe(
          Layer.provide(shared.pipe(Drain.layer("store", { drain: () => journal.note("drain store") })))
        ),
        user("bare", "500 millis").pipe(Layer.provide(shared))
      ))
      yield* app.signal("SIGTERM")
      const { drains } = yield* app.report
      return [
        yield* journal.lines,
        drains.map(({ elapsed, name, outcome, started }) => [
          name,
          outcome,
          Duration.toMillis(started),
          Duration.toMillis(elapsed)
        ])
      ]
    })

  const afterBoth = [
    ["0ms store opened", "0ms drained closed", "500ms bare closed", "500ms drain store", "500ms store closed"],
    [["scope", "Drained", 0, 500], ["store", "Drained", 500, 0]]
  ]

  it.scoped("drains a layer that others use without a drain when the last of them was released", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* shareStore((drained, bare) => Layer.merge(drained, bare)), afterBoth)
      assert.deepStrictEqual(yield* shareStore((drained, bare) => Layer.merge(bare, drained)), afterBoth)
      // The bare one opens the store, and closes last.
      assert.deepStrictEqual(yield* shareStore((drained, bare) => Layer.provide(drained, bare)), afterBoth)
    }))

  it.scoped("drains a layer whose last user has a drain with its release", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* shareStore((drained, bare) => Layer.provide(bare, drained)), [
        ["0ms store opened", "500ms bare closed", "500ms drained closed", "500ms drain store", "500ms store closed"],
        [["scope", "Drained", 0, 500], ["store", "Drained", 500, 0]]
      ])
    }))

  it.scoped("bounds the release of a layer that is closed by its last user without a drain", () =>
    Effect.gen(function*() {
      const hung = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.never))
      const bare = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.sleep("1 second"))).pipe(Layer.provide(hung))
      const app = yield* TestApp.start(
        Layer.merge(hung.pipe(Drain.layer("hung", { releaseTimeout: "2 seconds" })), bare)
      )
      yield* app.signal("SIGTERM")
      const { drains, elapsed } = yield* app.report
      assert.deepStrictEqual(
        [drains.map(({ name, reason }) => [name, reason]), Duration.toMillis(elapsed)],
        [[["scope", "finalizers in no Drain, before hung"], ["hung", "release not done within 2s"]], 3000]
      )
    }))

  it.scoped("passes the services of the layer to its steps", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const app = yield* TestApp.start(
        Layer.succeed(Store, "rows").pipe(
          Drain.layer("store", { drain: (services) => journal.note(`flush ${Context.get(services, Store)}`) })
        )
      )
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.deepStrictEqual(yield* journal.lines, ["0ms flush rows"])
    }))
})
