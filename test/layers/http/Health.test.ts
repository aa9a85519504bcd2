import { HttpClient, HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import { createServer } from "node:http"
import * as Drain from "../../../src/core/Drain.js"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import { LifecycleState } from "../../../src/core/ShutdownReport.js"
import * as Health from "../../../src/layers/http/Health.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { anyPort, portOf, serve } from "../../fixtures/http/serving.js"

const echoPath = Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => HttpServerResponse.text(url))

/** An app without routes for the probes. */
const unprobed = HttpRouter.empty.pipe(HttpRouter.get("/livezoo", echoPath))

describe("Health", () => {
  it("livez is 200 in every state, readyz only while Running", () => {
    assert.deepStrictEqual(
      LifecycleState.literals.map((state) => [
        state,
        Health.probeResponse("livez", state).status,
        Health.probeResponse("readyz", state).status,
        Health.probeResponse("readyz", state).body
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

  it("readyz lists conditions, which do not change its status", () => {
    const conditions = { mailer: "WaitingForSource" }
    assert.deepStrictEqual(
      [Health.probeResponse("readyz", "Running", conditions), Health.probeResponse("livez", "Running", conditions)]
        .map(({ body, status }) => [status, body]),
      [[200, `{"state":"Running","conditions":{"mailer":"WaitingForSource"}}`], [200, `{"state":"Running"}`]]
    )
  })

  it.live("the handlers work on any server", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make()
      yield* HttpServer.serveEffect(HttpRouter.empty.pipe(
        HttpRouter.get("/up", Health.livez),
        HttpRouter.get("/ready", Health.readyz)
      )).pipe(Effect.provideService(Shutdown, lifecycle.shutdown))
      const request = (path: string) =>
        Effect.flatMap(HttpClient.get(path), (response) => Effect.map(response.text, (text) => [response.status, text]))
      assert.deepStrictEqual(yield* request("/up"), [200, `{"state":"Starting"}`])
      assert.deepStrictEqual(yield* request("/ready"), [503, `{"state":"Starting"}`])
      yield* lifecycle.transition("Running")
      const condition = yield* Ref.make<string | undefined>("out of paper")
      yield* Drain.acquire({
        name: "printer",
        acquire: Effect.void,
        condition: () => Effect.runSync(Ref.get(condition))
      }).pipe(Effect.provideService(Shutdown, lifecycle.shutdown))
      assert.deepStrictEqual(yield* request("/ready"), [
        200,
        `{"state":"Running","conditions":{"printer":"out of paper"}}`
      ])
      yield* Ref.set(condition, undefined)
      assert.deepStrictEqual(yield* request("/ready"), [200, `{"state":"Running"}`])
    }).pipe(Effect.scoped, Effect.provide(HttpServer.layerTest)))
})

describe("Probes of HttpServer", () => {
  it.scopedLive("livez is 200 in lame duck, where readyz is 503", () =>
    Effect.gen(function*() {
      const { port, ...server } = yield* serve(unprobed)
      const probe = (path: string) =>
        Effect.scoped(Effect.gen(function*() {
          const client = yield* connect(port)
          yield* client.send(get(path, "Connection: close"))
          return yield* client.closed
        })).pipe(Effect.map(responses), Effect.map(([response]) => response!.replace("close ", "")))
      const both = Effect.all([probe("/livez"), probe("/readyz?verbose=1")])
      assert.deepStrictEqual(yield* both, [`200 {"state":"Running"}`, `200 {"state":"Running"}`])
      yield* server.transition("LameDuck")
      assert.deepStrictEqual(yield* both, [`200 {"state":"LameDuck"}`, `503 {"state":"LameDuck"}`])
      assert.deepStrictEqual(yield* probe("/livezoo"), "200 /livezoo")
    }))

  it.scopedLive("readyz on an open connection is 503 during the drain, and the report does not count it", () =>
    Effect.gen(function*() {
      const server = yield* serve(unprobed, { idleLinger: "1 seconds" })
      const client = yield* connect(server.port)
      yield* client.send(get("/livez"))
      yield* client.until(/Running/)
      const drained = yield* server.beginDrain
      yield* client.send(get("/readyz"))
      assert.deepStrictEqual(responses(yield* client.closed)[1], `503 close {"state":"Draining"}`)
      assert.strictEqual((yield* drained).finished, 0)
    }))

  it.scopedLive("without launch, readyz is 200 once an app is served", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make(() => createServer(), anyPort)
      const client = yield* connect(portOf(server))
      yield* client.send(get("/readyz"))
      yield* client.until(/503[^]*Starting/)
      yield* server.serve(unprobed)
      yield* client.send(get("/readyz"))
      yield* client.until(/200[^]*Running/)
    }))

  it.scopedLive("probes can have other paths, or be left to the app", () =>
    Effect.gen(function*() {
      const moved = yield* serve(
        HttpRouter.empty.pipe(HttpRouter.get("/readyz", echoPath), HttpRouter.get("/livez", echoPath)),
        { probes: { livez: "/alive", readyz: false } }
      )
      const client = yield* connect(moved.port)
      yield* client.send(get("/alive") + get("/readyz") + get("/livez"))
      assert.deepStrictEqual(responses(yield* client.until(/\/livez$/)), [
        `200 keep-alive {"state":"Running"}`,
        "200 keep-alive /readyz",
        "200 keep-alive /livez"
      ])
      const none = yield* serve(echoPath, { probes: false })
      const other = yield* connect(none.port)
      yield* other.send(get("/livez"))
      yield* other.until(/\/livez$/)
    }))

  it.scopedLive("in a lifecycle, readyz is 503 until the service is Running", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make()
      const server = yield* HttpServer.make(() => createServer(), anyPort).pipe(
        Effect.tap((server) => server.serve(unprobed)),
        Effect.provideService(Shutdown, lifecycle.shutdown)
      )
      const client = yield* connect(portOf(server))
      yield* client.send(get("/readyz"))
      yield* client.until(/503[^]*Starting/)
      yield* lifecycle.transition("Running")
      yield* client.send(get("/readyz"))
      yield* client.until(/200[^]*Running/)
    }))

  it.scopedLive("a condition that throws is shown, livez is 200, and nothing ends", () =>
    Effect.gen(function*() {
      const server = yield* serve(unprobed)
      yield* Drain.acquire({
        name: "printer",
        acquire: Effect.void,
        condition: () => {
          throw new TypeError("secret")
        }
      }).pipe(Effect.provideService(Shutdown, server.lifecycle.shutdown))
      const client = yield* connect(server.port)
      yield* client.send(get("/livez") + get("/readyz") + get("/livezoo"))
      const received = responses(yield* client.until(/livezoo$/))
      assert.strictEqual(received[0], `200 keep-alive {"state":"Running"}`)
      assert.match(received[1]!, /^200 keep-alive \{"state":"Running","conditions":\{"printer":".*TypeError.*"\}\}$/)
      assert.notMatch(received[1]!, /secret/)
      assert.strictEqual(received[2], "200 keep-alive /livezoo")
    }))
})
