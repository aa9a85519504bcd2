// The shutdown of the service in virtual time, with the budget of k8s.yaml.
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { HttpServer, JobSourceMemory } from "lastcall"
import { TestApp } from "lastcall/testing"
import { createServer } from "node:http"
import { Service } from "../src/app.js"
import { Orders } from "../src/orders.js"
import { Confirmations, Workers } from "../src/work.js"

const TestOrders = Layer.succeed(
  Orders,
  Orders.make({
    place: (_id, _item, also) => also,
    find: () => Effect.succeed(Option.none()),
    confirm: () => Effect.void,
    deleteOld: Effect.void
  })
)

const App = Layer.merge(Service, Layer.effectDiscard(Confirmations.offer({ order: "1" }))).pipe(
  Layer.provide(Workers),
  Layer.provide(TestOrders),
  Layer.provide(JobSourceMemory.layer({ durable: true })),
  Layer.provide(HttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

it.scoped("requests end before the workers, and the job in progress is finished", () =>
  Effect.gen(function*() {
    const app = yield* TestApp.start(App, { gracePeriod: "25 seconds", preStopDelay: "5 seconds" })
    yield* app.signal("SIGTERM")
    const report = yield* app.report
    assert.deepStrictEqual(
      report.drains.map(({ finished, name, outcome }) => `${name}: ${outcome}, ${finished} finished`),
      [
        "cleanup/schedule: Drained, 0 finished",
        "cleanup: Drained, 0 finished",
        "http: Drained, 0 finished",
        "confirmations: Drained, 1 finished"
      ]
    )
    assert.strictEqual(report.exitCode, 0)
  }))
