// Calls of @effect/rpc over a WebSocket: those in flight are answered, then the WebSocket is closed with 1001.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/12-rpc.ts
// Press:    Ctrl+C
// Prints:   the report; a client of RpcServer's protocol at ws://127.0.0.1:3000/rpc gets its answers first
// Needs:    nothing but `npm install @effect/rpc@0.76`
import { HttpRouter } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "@effect/rpc"
import { Effect, Layer, Schedule, Schema, Stream } from "effect"
import { HttpServer, launch, Shutdown } from "lastcall"
import { createServer } from "node:http"

class Rpcs extends RpcGroup.make(
  Rpc.make("Greet", { payload: { name: Schema.String }, success: Schema.String }),
  Rpc.make("Ticks", { success: Schema.Number, stream: true })
) {}

const handlers = Rpcs.toLayer(Effect.succeed({
  Greet: ({ name }: { readonly name: string }) => Effect.delay(Effect.succeed(`hello ${name}`), "2 seconds"),
  // Without `untilDraining` this stream would be interrupted after `streamTimeout`, because it does not end.
  Ticks: () =>
    Stream.iterate(0, (n) => n + 1).pipe(Stream.schedule(Schedule.spaced("1 second")), Shutdown.untilDraining)
}))

const App = HttpRouter.Default.serve().pipe(
  Layer.provide(RpcServer.layer(Rpcs)),
  Layer.provide(handlers),
  Layer.provide(RpcServer.layerProtocolWebsocket({ path: "/rpc" })),
  Layer.provide(RpcSerialization.layerNdjson),
  Layer.provide(HttpServer.layer(createServer, { port: 3000, host: "127.0.0.1" }))
)

App.pipe(launch(), NodeRuntime.runMain)
