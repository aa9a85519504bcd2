// POST /orders places an order, GET /orders/:id shows it.
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { Orders } from "./orders.js"
import { Confirmations } from "./work.js"

const NewOrder = Schema.Struct({ item: Schema.NonEmptyString })

export const routes = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/orders",
    Effect.gen(function*() {
      const orders = yield* Orders
      const { item } = yield* HttpServerRequest.schemaBodyJson(NewOrder)
      const order = randomUUID()
      // The order and its job are one commit: neither is there without the other.
      yield* orders.place(order, item, Confirmations.offer({ order }))
      return yield* HttpServerResponse.json({ id: order }, { status: 202 })
    })
  ),
  HttpRouter.get(
    "/orders/:id",
    Effect.gen(function*() {
      const orders = yield* Orders
      const { id = "" } = yield* HttpRouter.params
      const order = yield* orders.find(id)
      return Option.isNone(order)
        ? HttpServerResponse.empty({ status: 404 })
        : yield* HttpServerResponse.json(order.value)
    })
  ),
  HttpRouter.catchTag("ParseError", (error) => HttpServerResponse.text(error.message, { status: 400 }))
)
