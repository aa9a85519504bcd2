/**
 * The handlers of the API that tell about the service itself.
 */
import { FileSystem, HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { DateTime, Effect, Option, Ref, Schema, Stream } from "effect"
import * as Shutdown from "../../core/Shutdown.js"
import { ShutdownReport } from "../../core/ShutdownReport.js"
import { Api } from "./Api.js"
import { serviceEvents } from "./serviceEvents.js"
import type { LastShutdown } from "./ServiceState.js"

const decode = Schema.decode(Schema.parseJson(ShutdownReport))

/** The report that the last shutdown has left. Read at the start, because this process writes its own over it. */
const readLastShutdown = Effect.gen(function*() {
  const { config: { reportFile } } = yield* Shutdown.Shutdown
  if (Option.isNone(reportFile)) return { kept: false, last: null }
  const fs = yield* FileSystem.FileSystem
  if (!(yield* Effect.orElseSucceed(fs.exists(reportFile.value), () => false))) return { kept: true, last: null }
  return yield* Effect.all({
    report: Effect.flatMap(fs.readFileString(reportFile.value), decode),
    info: fs.stat(reportFile.value)
  }).pipe(
    Effect.map(({ info, report }): LastShutdown => ({
      kept: true,
      last: { report, endedAt: DateTime.unsafeFromDate(Option.getOrElse(info.mtime, () => new Date(0))) }
    })),
    Effect.catchAll((error) =>
      Effect.as(Effect.logWarning(`cannot read the report of the last shutdown in ${reportFile.value}`, error), {
        kept: true,
        last: null
      })
    )
  )
})

export const ServiceLive = HttpApiBuilder.group(Api, "service", (handlers) =>
  Effect.gen(function*() {
    const open = yield* Ref.make(0)
    const lastShutdown: LastShutdown = yield* readLastShutdown
    return handlers
      .handle("status", () => Effect.map(Shutdown.state, (state) => ({ state })))
      .handle("lastShutdown", () => Effect.succeed(lastShutdown))
      .handleRaw("events", () =>
        Effect.succeed(HttpServerResponse.stream(Stream.encodeText(serviceEvents(open)), {
          contentType: "text/event-stream",
          // Tells proxies not to buffer events.
          headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
        })))
  }))
