import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { Console, Effect } from "effect"

/** The app, the same on either server. */
export const App = HttpServer.serve(
  HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.text("hello")))
)

/** Prints the port, which `start` in bench/servers.ts waits for. */
export const printPort = Effect.flatMap(
  HttpServer.HttpServer,
  ({ address }) => Console.log(`listening on ${address._tag === "TcpAddress" ? address.port : address.path}`)
)

export const options = { host: "127.0.0.1", port: 0 }
