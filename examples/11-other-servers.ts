// An Express app whose handlers run effects. The drain belongs to the layer of the server, so its requests end before
// `Orders` is released. Fastify, Hono and node:http do the same: see docs/http.md.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/11-other-servers.ts
// Press:    Ctrl+C while `curl http://127.0.0.1:3000/orders/1` waits
// Prints:   "orders released" after the response, then the report
// Needs:    nothing but `npm install express`
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Runtime } from "effect"
import express from "express"
import { HttpServer, launch } from "lastcall"
import { createServer } from "node:http"

class Orders extends Effect.Service<Orders>()("Orders", {
  scoped: Effect.gen(function*() {
    yield* Effect.addFinalizer(() => Effect.log("orders released"))
    return { find: (id: string) => Effect.delay(Effect.succeed({ id, total: 42 }), "1 second") }
  })
}) {}

const Server = Layer.scopedDiscard(Effect.gen(function*() {
  const run = Runtime.runPromise(yield* Effect.runtime<Orders>())
  const app = express().get("/orders/:id", async (request, response) => {
    response.json(await run(Effect.flatMap(Orders, ({ find }) => find(request.params.id))))
  })
  const server = createServer(app)
  yield* HttpServer.drain(server)
  server.listen(3000, "127.0.0.1")
}))

Server.pipe(Layer.provide(Orders.Default), launch({ gracePeriod: "15 seconds" }), NodeRuntime.runMain)
