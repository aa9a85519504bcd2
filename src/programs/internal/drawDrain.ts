import { Duration, Effect, Option, Schedule } from "effect"
import type { Terminal } from "../../core/Host.js"
import { shortDuration } from "../../core/internal/duration.js"
import type { Entry, Lifecycle, Snapshot } from "../../core/internal/lifecycle.js"

const marks: Record<Entry["stage"], string> = {
  open: "○",
  quiesced: "◔",
  draining: "◑",
  interrupting: "◕",
  releasing: "◕",
  closed: "●"
}

const line = (entry: Entry, width: number): string => {
  const inFlight = Option.match(entry.resource.progress, { onNone: () => 0, onSome: (progress) => progress().inFlight })
  const what = Option.match(entry.report, {
    onNone: () => inFlight === 0 ? entry.stage : `${entry.stage.padEnd(13)}${inFlight} in flight`,
    onSome: (report) => `${report.outcome.padEnd(13)}${shortDuration(report.elapsed)}`
  })
  return `  ${marks[entry.stage]} ${entry.name.padEnd(width)}  ${what}`
}

/** Always with its tenths: a text whose length changes all the time flickers. */
const timeLeft = (remaining: Duration.Duration) => `${(Duration.toMillis(remaining) / 1000).toFixed(1)}s left`

/** One frame: what began it and the time left, then the resources in the order in which they are released. */
export const frame = (snapshot: Snapshot, remaining: Duration.Duration): string => {
  const width = Math.max(0, ...snapshot.entries.map((entry) => entry.name.length))
  const cause = Option.match(snapshot.begun, { onNone: () => "", onSome: (begun) => begun.reason })
  const state = snapshot.state === "LameDuck" ? "still serving" : "draining"
  const hint = snapshot.expedited ? "not waiting any more" : "once more: stop waiting"
  return [
    `${cause}: ${state}, ${timeLeft(remaining)}  (${hint})`,
    ...snapshot.entries.toReversed().map((entry) => line(entry, width))
  ].join("\n")
}

/** Draws the drain on the terminal, ten times a second, until the service has stopped. */
export const drawDrain = (lifecycle: Lifecycle, terminal: Terminal): Effect.Effect<void> =>
  Effect.scoped(Effect.gen(function*() {
    // The terminal has just echoed ^C on the line of the cursor.
    yield* terminal.print("")
    const draw = yield* terminal.live
    const drawn = Effect.flatMap(
      Effect.zip(lifecycle.snapshot, lifecycle.service.remaining),
      ([snapshot, remaining]) => draw(frame(snapshot, remaining))
    )
    const stopped = lifecycle.follow(({ state }) => Effect.succeed(state === "Stopped"))
    yield* Effect.raceFirst(Effect.repeat(drawn, Schedule.spaced("100 millis")), stopped)
    yield* drawn
  }))
