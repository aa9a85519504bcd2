/**
 * Progress as server-sent events.
 */
import { Duration, Effect, Option, Schedule, Schema, Stream } from "effect"
import * as Shutdown from "../../core/Shutdown.js"
import { available } from "./available.js"
import { Import, isFinal } from "./Domain.js"
import { Imports } from "./store/Imports.js"

/** How often the row of an import is looked at: workers of other processes write it too. */
const every = Duration.millis(400)

/** So that a connection whose client has silently gone is found out. */
const keepAlive = Stream.repeatEffectWithSchedule(Effect.succeed(": still here\n\n"), Schedule.spaced("15 seconds"))

const encode = Schema.encodeSync(Schema.parseJson(Import))

/**
 * The import whenever it has changed, first as it is. Ends with its last status, and when the service begins to drain;
 * then the client is told to ask again soon, whichever process will answer.
 */
export const events = (first: Import): Stream.Stream<string, never, Imports> =>
  Stream.fromSchedule(Schedule.spaced(every)).pipe(
    Stream.mapEffect(() => Effect.flatMap(Imports, (imports) => Effect.option(available(imports.find(first.id))))),
    // A database that is away says nothing; an import that is gone was an upload that was cut off.
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
