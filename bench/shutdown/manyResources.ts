/**
 * Measures what many resources cost at the end: npm run resources [count] [rounds]
 *
 * The same number of resources in one scope, as `Effect.acquireRelease` and as `Drain.acquire`, in turns, in one process: the CPU
 * time and the time of the close, and for how long it blocked the event loop.
 */
import { Effect, Exit, Logger, Scope } from "effect"
import { Drain, Lifecycle, Shutdown } from "../../dist/index.js"
import { cpus } from "node:os"
import { median, table } from "../servers.js"

const count = Number(process.argv[2] ?? 10_000)
const rounds = Number(process.argv[3] ?? 5)

const resources = <R>(acquire: Effect.Effect<unknown, unknown, R>) =>
  Effect.orDie(Effect.forEach(Array.from({ length: count }), () => acquire, { discard: true }))

const drains = (steps: Drain.Steps<void>) =>
  resources(Drain.acquire({ ...steps, name: "resource", acquire: Effect.void }))

const promise = () => Effect.promise(() => Promise.resolve())

const kinds = {
  "acquireRelease": resources(Effect.acquireRelease(Effect.void, () => Effect.void)),
  "Drain without steps": drains({}),
  "Drain, release": drains({ release: () => Effect.void }),
  "Drain, drain and release": drains({ drain: () => Effect.void, release: () => Effect.void }),
  "Drain, release that waits": drains({ release: promise })
}

/** The longest delay of the event loop while the effect runs. */
const blocked = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const loop = { last: performance.now(), longest: 0, next: undefined as NodeJS.Immediate | undefined }
      const turn = () => {
        const now = performance.now()
        loop.longest = Math.max(loop.longest, now - loop.last)
        loop.last = now
        loop.next = setImmediate(turn)
      }
      turn()
      return loop
    }),
    (loop) => Effect.map(Effect.zipRight(effect, Effect.sleep(0)), () => loop.longest),
    (loop) => Effect.sync(() => clearImmediate(loop.next))
  )

const measure = (acquire: Effect.Effect<void, never, Scope.Scope>) =>
  Effect.gen(function*() {
    const lifecycle = yield* Lifecycle.make()
    yield* lifecycle.transition("Running")
    const scope = yield* Scope.make()
    yield* Effect.provideService(Scope.extend(acquire, scope), Shutdown.Shutdown, lifecycle.shutdown)
    yield* lifecycle.shutdown.begin({ reason: "measured" })
    yield* lifecycle.transition("Draining")
    // Young objects of the acquires would be collected at the expense of the close.
    globalThis.gc?.()
    const [cpu, from] = [process.cpuUsage(), performance.now()]
    const longest = yield* blocked(Scope.close(scope, Exit.void))
    const time = performance.now() - from
    const { system, user } = process.cpuUsage(cpu)
    return { cpu: (user + system) / count, time, blocked: longest }
  })

const measured = new Map<string, Array<Effect.Effect.Success<ReturnType<typeof measure>>>>()
for (let round = 0; round < rounds; round++) {
  for (const [name, acquire] of Object.entries(kinds)) {
    const result = await Effect.runPromise(Effect.provide(Effect.orDie(measure(acquire)), Logger.remove(Logger.defaultLogger)))
    measured.set(name, [...measured.get(name) ?? [], result])
  }
  console.error(`round ${round + 1} of ${rounds}`)
}

const of = (name: string, figure: "cpu" | "time" | "blocked") => median(measured.get(name)!.map((_) => _[figure]))
const plain = of("acquireRelease", "cpu")

console.log(
  `${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${count} resources, ${rounds} rounds, medians\n`
)
console.log(table([
  ["resource", "CPU of its close", "of acquireRelease", "all", "loop blocked"],
  ...Object.keys(kinds).map((name) => [
    name,
    `${of(name, "cpu").toFixed(1)} us`,
    (of(name, "cpu") / plain).toFixed(1),
    `${Math.round(of(name, "time"))} ms`,
    `${Math.round(of(name, "blocked"))} ms`
  ])
]))
