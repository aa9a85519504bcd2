import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Console, Effect, Layer } from "effect"

const respond = Effect.gen(function*() {
  const { url } = yield* HttpServerRequest.HttpServerRequest
  const ms = Number(new URL(url, "http://service").searchParams.get("ms"))
  if (ms > 0) yield* Effect.sleep(ms)
  return HttpServerResponse.text("answered")
})

const printPort = Effect.flatMap(
  HttpServer.HttpServer,
  ({ address }) => Console.log(`listening on ${address._tag === "TcpAddress" ? address.port : address.path}`)
)

/** The app, the same on either server. */
export const App = Layer.merge(
  HttpServer.serve(HttpRouter.empty.pipe(HttpRouter.get("/", respond))),
  Layer.effectDiscard(printPort)
)
