import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { Console, Effect } from "effect"

/** The app, the same on either server. It says on which port it is served. */
export const App = HttpServer.serve(
  HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.text("hello")))
)

export const said = Effect.flatMap(
  HttpServer.HttpServer,
  ({ address }) => Console.log(`listening on ${address._tag === "TcpAddress" ? address.port : address.path}`)
)

export const options = { host: "127.0.0.1", port: 0 }
