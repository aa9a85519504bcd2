import { Duration, Option } from "effect"
import { shortDuration } from "../../core/internal/duration.js"
import type { Change, Snapshot } from "../../core/Lifecycle.js"
import type { Stage } from "../../core/Shutdown.js"
import type { ShutdownConfig, Signal } from "../../core/ShutdownConfig.js"
import type { LifecycleState } from "../../core/ShutdownReport.js"

const states: ReadonlyArray<LifecycleState> = ["Starting", "Running", "LameDuck", "Draining", "Stopped"]
const stages: ReadonlyArray<Stage> = ["open", "quiesced", "draining", "interrupting", "releasing", "closed"]

/** The state of the app, or the stage of a resource, now; none when nothing has this name. */
const present = ({ resources, state }: Snapshot, name: string): Option.Option<LifecycleState | Stage> =>
  name === "app"
    ? Option.some(state)
    : Option.map(Option.fromNullable(resources.find((resource) => resource.name === name)), ({ stage }) => stage)

/** Whether the resource, or the app, is where the test waits for it to be, or further. */
export const hasReached = ({ resource, state }: Change, name: string, reached: LifecycleState | Stage): boolean => {
  const order: ReadonlyArray<LifecycleState | Stage> = name === "app" ? states : stages
  const stage = Option.map(Option.filter(resource, (_) => _.name === name), ({ stage }) => stage)
  return Option.exists(
    name === "app" ? Option.some(state) : stage,
    (now) => order.indexOf(now) >= order.indexOf(reached)
  )
}

/** Why nothing has such a state or stage; none when it exists. */
export const refuseReached = (name: string, reached: string): Option.Option<string> => {
  const [subject, all]: readonly [string, ReadonlyArray<string>] = name === "app"
    ? ["the states of the app", states]
    : ["the stages of a resource", stages]
  if (all.includes(reached)) return Option.none()
  const of = states.some((state) => state === reached)
    ? " is a state of \"app\""
    : stages.some((stage) => stage === reached)
    ? " is a stage of a resource"
    : " is none of them"
  return Option.some(`${subject} are ${all.join(", ")}; "${reached}"${of}`)
}

/** Why `launch` would not receive this signal; none when it does. */
export const refuseSignal = ({ signals }: ShutdownConfig, signal: Signal): Option.Option<string> =>
  signals.includes(signal)
    ? Option.none()
    : Option.some(`the app listens to ${signals.join(", ")} alone: add it to the option signals`)

/** What is known when nothing moves any more. */
export interface Stuck {
  readonly snapshot: Snapshot
  readonly config: ShutdownConfig
  /** The time to the next timer. */
  readonly next: Option.Option<Duration.Duration>
}

const units = [["minute", 60_000], ["second", 1000], ["milli", 1]] as const

/** A duration as an argument of `TestClock.adjust`. */
const argument = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  const [unit, size] = units.find(([, size]) => millis % size === 0) ?? ["milli", 1]
  return `"${millis / size} ${unit}${millis === size ? "" : "s"}"`
}

const moveClock = (next: Duration.Duration): string =>
  `the next timer is in ${shortDuration(next)}: move the clock, as with TestClock.adjust(${argument(next)})`

const noTimer = "no timer is set: it waits for what never happens, or for I/O that takes longer than giveUpAfter"

const timer = ({ next }: Stuck): string => Option.match(next, { onNone: () => noTimer, onSome: moveClock })

const list = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")

/** What keeps the shutdown from going on. */
const missing = (stuck: Stuck): string => {
  const { config, next, snapshot } = stuck
  if (Option.isNone(snapshot.request)) {
    const later = Option.match(next, {
      onNone: () => "",
      onSome: (next) => `; or, if a timer requests one, ${moveClock(next)}`
    })
    return `no shutdown was requested: send a signal before, as with app.signal("SIGTERM")${later}`
  }
  const duplicate = snapshot.events.findLast(({ what }) => what === "duplicate, ignored")
  if (duplicate !== undefined && !snapshot.expedited) {
    return `the last ${duplicate.subject} came within duplicateWindow and was ignored: ` +
      `TestClock.adjust(${argument(config.duplicateWindow)}) before it, or move the clock to the end of the wait`
  }
  return timer(stuck)
}

/** Why the app does not start. */
export const notRunning = ({ next, snapshot }: Stuck): string => {
  const names = snapshot.resources.map(({ name }) => name)
  const acquired = names.length === 0 ? "nothing was acquired yet" : `${list(names)} acquired`
  return `TestApp.start: the app is Starting (${acquired}), and ` + Option.match(next, {
    onNone: () => noTimer.replace("it waits", "an acquire waits"),
    onSome: (next) => `${moveClock(next)} while TestApp.start runs on a fiber of its own (Effect.fork)`
  })
}

/** Why a resource or the app does not get there. */
export const notReached = (name: string, reached: string) => (stuck: Stuck): string => {
  const wait = `app.until("${name}", "${reached}"): `
  const { snapshot } = stuck
  return wait + Option.match(present(snapshot, name), {
    onNone: () => `no resource has this name; the names are ${list(["app", ...snapshot.resources.map((_) => _.name)])}`,
    onSome: (now) =>
      `${name === "app" ? "it" : `the app is ${snapshot.state} and it`} is ${now}; ` +
      (snapshot.state === "Stopped" ? "nothing changes any more" : missing(stuck))
  })
}

/** Why the app does not exit. */
export const notExited = (wait: string) => (stuck: Stuck): string =>
  `${wait}: the app is ${stuck.snapshot.state}; ${missing(stuck)}`
