/**
 * The apps that the servers of this folder serve: 50 routes, and JSON of about 1 KiB in and out. They use `@effect/platform`
 * alone, so that every server gets the same one.
 */
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { Console, Effect, Layer, Schema } from "effect"

const routes = Array.from({ length: 50 }, (_, n) => `/things${n}/:id` as const)
const route = routes[49]!

const Order = Schema.Struct({
  id: Schema.Number,
  customer: Schema.NonEmptyString,
  note: Schema.String,
  lines: Schema.Array(Schema.Struct({ sku: Schema.String, quantity: Schema.Int, price: Schema.Number }))
})

export const order: typeof Order.Type = {
  id: 7,
  customer: "A customer with a name",
  note: "x".repeat(220),
  lines: Array.from({ length: 15 }, (_, n) => ({ sku: `article-${1000 + n}`, quantity: n + 1, price: 9.5 + n }))
}

const text = HttpServerResponse.text("hello")
const echo = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  return yield* HttpServerResponse.json(yield* request.json)
})

const router = routes.reduce(
  (router, path) => router.pipe(HttpRouter.get(path, text), HttpRouter.post(path, echo)),
  HttpRouter.empty.pipe(HttpRouter.get("/wait", Effect.never)) as HttpRouter.HttpRouter<unknown, never>
)

const LayerRouter = HttpLayerRouter.addAll(routes.flatMap((path) => [
  HttpLayerRouter.route("GET", path, text),
  HttpLayerRouter.route("POST", path, echo)
]))

const endpoint = (path: `/${string}`) => HttpApiEndpoint.post(path, path).setPayload(Order).addSuccess(Order)
const group = routes.reduce((group, path) => group.add(endpoint(path)), HttpApiGroup.make("orders").add(endpoint("/")))
const Api = HttpApi.make("api").add(group)
const Orders = HttpApiBuilder.group(Api, "orders", (handlers) =>
  routes.reduce<typeof handlers>(
    (handlers, path) => handlers.handle(path, ({ payload }) => Effect.succeed(payload)) as never,
    handlers.handle("/", ({ payload }) => Effect.succeed(payload)) as never
  ) as never)

/** The apps by name. An app that needs a server gets it from the program. */
const apps: Record<string, Layer.Layer<never, never, HttpServer.HttpServer | HttpServer.HttpServer>> = {
  HttpRouter: HttpServer.serve(Effect.orDie(router)),
  HttpLayerRouter: HttpLayerRouter.serve(LayerRouter, { disableLogger: true, disableListenLog: true }) as never,
  HttpApi: HttpApiBuilder.serve().pipe(
    Layer.provide(HttpApiBuilder.api(Api)),
    Layer.provide(Orders)
  ) as never
}

export interface Workload {
  readonly app: string
  readonly name: string
  readonly method: "GET" | "POST"
  readonly path: string
}

const path = route.replace(":id", "seven")
export const workloads: ReadonlyArray<Workload> = [
  { app: "HttpRouter", name: "HttpRouter, GET", method: "GET", path },
  { app: "HttpRouter", name: "HttpRouter, POST", method: "POST", path },
  { app: "HttpLayerRouter", name: "HttpLayerRouter, POST", method: "POST", path },
  { app: "HttpApi", name: "HttpApi, POST", method: "POST", path }
]

/** A request that never gets a response. */
export const waiting: Workload = { app: "HttpRouter", name: "in flight", method: "GET", path: "/wait" }

/** The app that the program is to serve. Prints the port, which `start` in bench/servers.ts waits for. */
export const App = Layer.merge(
  apps[process.env["APP"]!]!,
  Layer.effectDiscard(Effect.flatMap(
    HttpServer.HttpServer,
    ({ address }) => Console.log(`listening on ${address._tag === "TcpAddress" ? address.port : address.path}`)
  ))
)

export const listenOptions = { host: "127.0.0.1", port: 0 }

/** Longer than a round: the connections of the client stay open. */
export const serverOptions = { keepAliveTimeout: 600_000 }
