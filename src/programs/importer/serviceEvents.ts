/**
 * The lifecycle of the service as server-sent events.
 */
import { Duration, Effect, Option, Ref, Schedule, Schema, Stream } from "effect"
import * as Shutdown from "../../core/Shutdown.js"
import { ServiceState } from "./ServiceState.js"

/** How often the resources are looked at: they count their work, and do not announce it. */
const interval = Duration.millis(200)

/** The name of the server in the journal, whose requests these streams are. */
const server = "http"

const finite = (duration: Duration.Duration) => Duration.toMillis(duration) === Infinity ? null : duration

/** The service now. `streams` are not counted as requests in flight: they last as long as the service. */
const current = (streams: number): Effect.Effect<ServiceState> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown.Shutdown
    const resources = yield* shutdown.resources
    return {
      state: yield* shutdown.state,
      gracePeriod: finite(shutdown.config.gracePeriod),
      remaining: finite(yield* shutdown.remaining),
      resources: resources.map(({ condition, name, progress, report, stage }) => {
        const { cut, finished, handedBack, inFlight } = progress()
        return {
          name,
          stage,
          inFlight: name === server ? Math.max(0, inFlight - streams) : inFlight,
          finished,
          handedBack,
          cut,
          condition: condition() ?? null,
          released: Option.getOrNull(Option.map(report, ({ elapsed, outcome }) => ({ outcome, elapsed })))
        }
      })
    }
  })

const encode = Schema.encodeSync(Schema.parseJson(ServiceState))

/** The remaining time changes always: clients count it down themselves. */
const isSame = (a: ServiceState, b: ServiceState) =>
  encode({ ...a, remaining: null }) === encode({ ...b, remaining: null }) &&
  (a.remaining === null) === (b.remaining === null)

/** Whether these streams are all that the server still waits for. */
const isLastRequest = ({ resources }: ServiceState) =>
  resources.every(({ inFlight, name }) => name !== server || inFlight === 0)

/** Detects a connection whose client has gone without closing it. */
const keepAlive = Stream.repeatEffectWithSchedule(Effect.succeed(": keep-alive\n\n"), Schedule.spaced("15 seconds"))

/**
 * The service as it is, then whenever it has changed. In a drain it goes on as long as other requests are in flight, for the server is
 * released before everything else; it ends with them, when the shutdown is expedited, and before the deadline. The report of the
 * shutdown tells the rest after the next start.
 */
export const serviceEvents = (open: Ref.Ref<number>): Stream.Stream<string> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const { config, expedited } = yield* Shutdown.Shutdown
    yield* Effect.acquireRelease(Ref.update(open, (n) => n + 1), () => Ref.update(open, (n) => n - 1))
    const look = Effect.flatMap(Ref.get(open), current)
    const looks = Stream.repeatEffectWithSchedule(look, Schedule.spaced(interval))
    // Ends well before the server interrupts its requests.
    const least = Duration.sum(config.reserve, Duration.seconds(1))
    const isOver = (found: ServiceState) =>
      isLastRequest(found) || (found.remaining !== null && Duration.lessThan(found.remaining, least))
    const inDrain = looks.pipe(Stream.takeUntil(isOver), Stream.interruptWhen(expedited))
    return looks.pipe(
      Shutdown.untilDrainingThen(inDrain),
      Stream.changesWith(isSame),
      Stream.map((found) => `event: service\ndata: ${encode(found)}\n\n`),
      Stream.merge(keepAlive, { haltStrategy: "left" }),
      (events) => Stream.concat(Stream.succeed("retry: 1000\n\n"), events)
    )
  }))
