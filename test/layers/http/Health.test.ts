import { HttpClient, HttpRouter, HttpServer as Platform } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import * as Drain from "../../../src/core/Drain.js"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import { LifecycleState } from "../../../src/core/ShutdownReport.js"
import * as Health from "../../../src/layers/http/Health.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"

describe("Health", () => {
  it("a service is alive in every state, and ready in one", () => {
    assert.deepStrictEqual(
      LifecycleState.literals.map((state) => [
        state,
        Health.answer("livez", state).status,
        Health.answer("readyz", state).status,
        Health.answer("readyz", state).body
      ]),
      [
        ["Starting", 200, 503, `{"state":"Starting"}`],
        ["Running", 200, 200, `{"state":"Running"}`],
        ["LameDuck", 200, 503, `{"state":"LameDuck"}`],
        ["Draining", 200, 503, `{"state":"Draining"}`],
        ["Stopped", 200, 503, `{"state":"Stopped"}`]
      ]
    )
  })

  it("readiness tells what keeps resources from their work, and does not depend on it", () => {
    const conditions = { mailer: "WaitingForSource" }
    assert.deepStrictEqual(
      [Health.answer("readyz", "Running", conditions), Health.answer("livez", "Running", conditions)]
        .map(({ body, status }) => [status, body]),
      [[200, `{"state":"Running","conditions":{"mailer":"WaitingForSource"}}`], [200, `{"state":"Running"}`]]
    )
  })

  it.live("its handlers answer on any server", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make()
      yield* Platform.serveEffect(HttpRouter.empty.pipe(
        HttpRouter.get("/up", Health.livez),
        HttpRouter.get("/ready", Health.readyz)
      )).pipe(Effect.provideService(Shutdown, lifecycle.shutdown))
      const ask = (path: string) =>
        Effect.flatMap(HttpClient.get(path), (response) => Effect.map(response.text, (text) => [response.status, text]))
      assert.deepStrictEqual(yield* ask("/up"), [200, `{"state":"Starting"}`])
      assert.deepStrictEqual(yield* ask("/ready"), [503, `{"state":"Starting"}`])
      yield* lifecycle.transition("Running")
      const condition = yield* Ref.make<string | undefined>("out of paper")
      yield* Drain.acquire({
        name: "printer",
        acquire: Effect.void,
        condition: () => Effect.runSync(Ref.get(condition))
      }).pipe(Effect.provideService(Shutdown, lifecycle.shutdown))
      assert.deepStrictEqual(yield* ask("/ready"), [
        200,
        `{"state":"Running","conditions":{"printer":"out of paper"}}`
      ])
      yield* Ref.set(condition, undefined)
      assert.deepStrictEqual(yield* ask("/ready"), [200, `{"state":"Running"}`])
    }).pipe(Effect.scoped, Effect.provide(HttpServer.layerTest)))
})
