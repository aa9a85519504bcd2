// An event stream that sends a last event and ends when the server begins to drain.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/05-event-stream.ts
// Press:    Ctrl+C while `curl -N http://127.0.0.1:3000/events` reads
// Prints:   the report; curl prints ticks, then "bye"
// Needs:    nothing
import { HttpRouter, HttpServerResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Schedule, Stream } from "effect"
import { HttpServer, launch, Shutdown } from "lastcall"
import { createServer } from "node:http"

const ticks = Stream.repeatEffectWithSchedule(Effect.sync(() => "data: tick\n\n"), Schedule.spaced("1 second")).pipe(
  Shutdown.untilDrainingThen(Stream.succeed("event: bye\ndata:\n\n")),
  Stream.encodeText
)

const routes = HttpRouter.empty.pipe(
  HttpRouter.get("/events", HttpServerResponse.stream(ticks, { contentType: "text/event-stream" }))
)

const App = HttpServer.serve(routes).pipe(
  Layer.provide(HttpServer.layer(createServer, { port: 3000, host: "127.0.0.1" }))
)

App.pipe(launch(), NodeRuntime.runMain)
