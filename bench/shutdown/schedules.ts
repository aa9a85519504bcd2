/**
 * Measures what schedules cost: npm run schedules [count] [seconds]
 *
 * Scheduled tasks in one process, whose runs do nothing, beside one timer of Node that calls as many functions: the CPU time of a second, and the
 * memory that they hold.
 */
import { Cron, Effect, Layer, Logger, Scope } from "effect"
import { cpus } from "node:os"
import { Lifecycle, ScheduledTask, Shutdown } from "../../dist/index.js"
import { table } from "../servers.js"

const count = Number(process.argv[2] ?? 1_000)
const seconds = Number(process.argv[3] ?? 10)

const tasks = (count: number, cron: string) => {
  const schedule = Cron.unsafeParse(cron, "Europe/Berlin")
  return Effect.forEach(
    Array.from({ length: count }, (_, nth) => `task-${nth}`),
    (name) => Layer.build(ScheduledTask.layer({ name, schedule, run: () => Effect.void })),
    { discard: true }
  )
}

const timer = (count: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const calls = Array.from({ length: count }, () => () => {})
      return setInterval(() => calls.forEach((call) => call()), 1_000)
    }),
    (timer) => Effect.sync(() => clearInterval(timer))
  )

const kinds: ReadonlyArray<
  readonly [name: string, start: Effect.Effect<unknown, unknown, Scope.Scope | Shutdown.Shutdown>]
> = [
  ["one timer, each second", timer(count)],
  ["1 task, once a day", tasks(1, "0 3 * * *")],
  [`${count} tasks, once a day`, tasks(count, "0 3 * * *")],
  ["1 task, each second", tasks(1, "* * * * * *")],
  [`${count} tasks, each second`, tasks(count, "* * * * * *")]
]

const heap = Effect.sync(() => {
  globalThis.gc!()
  return process.memoryUsage().heapUsed
})

const measure = (start: Effect.Effect<unknown, unknown, Scope.Scope | Shutdown.Shutdown>) =>
  Effect.gen(function*() {
    const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
    yield* lifecycle.transition("Running")
    const before = yield* heap
    yield* Effect.provideService(start, Shutdown.Shutdown, lifecycle.shutdown)
    // The first ticks compile the code.
    yield* Effect.sleep("2500 millis")
    const bytes = (yield* heap) - before
    const from = process.cpuUsage()
    yield* Effect.sleep(seconds * 1_000)
    const { system, user } = process.cpuUsage(from)
    return { bytes, millis: (user + system) / 1_000 / seconds }
  }).pipe(Effect.scoped)

const rows = Effect.forEach(kinds, ([name, start]) =>
  Effect.map(measure(start), ({ bytes, millis }) => [
    name,
    `${millis.toFixed(2)} ms`,
    `${(bytes / 1024).toFixed(0)} KiB`
  ]))

Effect.runPromise(Effect.provide(rows, Logger.remove(Logger.defaultLogger))).then((rows) => {
  console.log(`${cpus()[0]?.model.trim()}, Node ${process.versions.node}, ${seconds} seconds each\n`)
  console.log(table([["", "CPU time of a second", "heap"], ...rows]))
})
