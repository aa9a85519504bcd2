import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { get, responses } from "../../fixtures/http/client.js"
import { type App, byPath, type ConnectionCase, type Server } from "./connectionCase.js"

/** The responses to both probes, as `200 body`. */
const probe = (server: Server) =>
  Effect.forEach(["/livez", "/readyz"], (path) =>
    Effect.scoped(Effect.gen(function*() {
      const client = yield* server.connect
      yield* client.send(get(path, "Connection: close"))
      return responses(yield* client.closed)[0]!.replace(" close", "")
    })))

const respond = (status: number, body = "own"): App => Effect.succeed(HttpServerResponse.text(body, { status }))

const running = ["200 {\"state\":\"Running\"}", "200 {\"state\":\"Running\"}"]
const lameDuck = ["200 {\"state\":\"LameDuck\"}", "503 {\"state\":\"LameDuck\"}"]

/** Who responds to the probes. */
export const probes: ReadonlyArray<ConnectionCase> = [
  {
    situation: "a probe for which the app has no route",
    behavior: "gets the state of the service; the app is asked once",
    test: (serve) =>
      Effect.gen(function*() {
        const asked: Array<string> = []
        const server = yield* serve(Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => {
          asked.push(url)
          return HttpServerResponse.empty({ status: 404 })
        }))
        assert.deepStrictEqual([yield* probe(server), yield* probe(server)], [running, running])
        yield* server.transition("LameDuck")
        assert.deepStrictEqual(yield* probe(server), lameDuck)
        assert.deepStrictEqual(asked, ["/livez", "/readyz"])
      })
  },
  {
    situation: "a probe that the app has a route for",
    behavior: "gets the 2xx or 5xx of the app while the service runs, and the state of the service from lame duck on",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(byPath({ "/livez": respond(200), "/readyz": respond(503, "no database") }))
        assert.deepStrictEqual([yield* probe(server), yield* probe(server)], [
          ["200 own", "503 no database"],
          ["200 own", "503 no database"]
        ])
        yield* server.transition("LameDuck")
        assert.deepStrictEqual(yield* probe(server), lameDuck)
      })
  },
  {
    situation: "a probe that the app redirects or refuses (3xx, 4xx)",
    behavior: "gets the state of the service",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(byPath({ "/livez": respond(302), "/readyz": respond(401) }))
        assert.deepStrictEqual([yield* probe(server), yield* probe(server)], [running, running])
      })
  },
  {
    situation: "a probe whose handler dies",
    behavior: "gets a 500 while the service runs",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(byPath({ "/livez": Effect.dieMessage("broken"), "/readyz": respond(204, "") }))
        assert.deepStrictEqual(yield* probe(server), ["500", "204"])
      })
  },
  {
    situation: "`readyz` with `readyWhileDraining`",
    behavior: "is 200 in lame duck and in the drain; its body says the state",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(respond(404), { readyWhileDraining: true, idleLinger: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(get("/readyz"))
        yield* client.until(/Running/)
        yield* server.transition("LameDuck")
        assert.deepStrictEqual((yield* probe(server))[1], "200 {\"state\":\"LameDuck\"}")
        const drained = yield* server.beginDrain
        yield* client.send(get("/readyz"))
        assert.deepStrictEqual(responses(yield* client.closed)[1], "200 close {\"state\":\"Draining\"}")
        assert.strictEqual((yield* drained).outcome, "Drained")
      })
  }
]
