/**
 * The progress of an import as server-sent events.
 */
import { Duration, Effect, Option, Schedule, Schema, Stream } from "effect"
import * as Shutdown from "../../core/Shutdown.js"
import { Import, isFinal } from "./Domain.js"
import { Imports } from "./store/Imports.js"
import { withDatabaseTimeout } from "./withDatabaseTimeout.js"

/** How often the import is read: workers of other processes write it too. */
const pollInterval = Duration.millis(400)

/** Detects a connection whose client has gone without closing it. */
const keepAlive = Stream.repeatEffectWithSchedule(Effect.succeed(": keep-alive\n\n"), Schedule.spaced("15 seconds"))

const encode = Schema.encodeSync(Schema.parseJson(Import))

/**
 * The import as it is, then whenever it has changed. Ends with its final status, and when the service begins to drain; the client
 * then reconnects after a second, to whichever process answers.
 */
export const progressEvents = (first: Import): Stream.Stream<string, never, Imports> =>
  Stream.fromSchedule(Schedule.spaced(pollInterval)).pipe(
    Stream.mapEffect(() =>
      Effect.flatMap(Imports, (imports) => Effect.option(withDatabaseTimeout(imports.find(first.id))))
    ),
    // While the database is unavailable there is no event. An import that is gone was an upload that was aborted.
    Stream.filterMap((found) => found),
    Stream.takeWhile(Option.isSome),
    Stream.map(({ value }) => value),
    (later) => Stream.concat(Stream.succeed(first), later),
    Stream.changesWith((a, b) => encode(a) === encode(b)),
    Stream.takeUntil(({ status }) => isFinal(status)),
    Stream.map((found) => `event: progress\ndata: ${encode(found)}\n\n`),
    Stream.merge(keepAlive, { haltStrategy: "left" }),
    (stream) => Stream.concat(Stream.succeed("retry: 1000\n\n"), stream),
    Shutdown.untilDraining
  )
