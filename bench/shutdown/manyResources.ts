/**
 * Measures what many resources cost: npm run resources [count] [rounds]
 *
 * The same number of resources in one scope, as `Effect.acquireRelease` and as `Drain.acquire`, in turns, in one process: the CPU
 * time of the acquire and of the close, for how long they blocked the event loop, and the memory that is held.
 */
import { Effect, Exit, Logger, Scope } from "effect"
import { Drain, Lifecycle, Shutdown } from "../../dist/index.js"
import { cpus } from "node:os"
import { median, table } from "../servers.js"

const count = Number(process.argv[2] ?? 10_000)
const rounds = Number(process.argv[3] ?? 5)

const resources = <R>(acquire: Effect.Effect<unknown, unknown, R>) => (count: number) =>
  Effect.orDie(Effect.forEach(Array.from({ length: count }), () => acquire, { discard: true }))

const drains = (steps: Drain.Steps<void>) =>
  resources(Drain.acquire({ ...steps, name: "resource", acquire: Effect.void }))

const none = () => Effect.void
const wait = () => Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

const kinds = {
  "acquireRelease": resources(Effect.acquireRelease(Effect.void, none)),
  "acquireRelease that waits": resources(Effect.acquireRelease(Effect.void, wait)),
  "Drain without steps": drains({}),
  "Drain, release": drains({ release: none }),
  "Drain, drain and release": drains({ drain: none, release: none }),
  "Drain, release that waits": drains({ release: wait }),
  "Drain, drain and release that wait": drains({ drain: wait, release: wait })
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

/** The CPU time of the effect in microseconds, its time and the longest block of the event loop in milliseconds. */
const costOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    // Garbage of what ran before would be collected at the expense of this.
    globalThis.gc?.()
    const [cpu, from] = [process.cpuUsage(), performance.now()]
    const longest = yield* blocked(effect)
    const time = performance.now() - from
    const { system, user } = process.cpuUsage(cpu)
    return { cpu: user + system, time, blocked: longest }
  })

/** The memory in use, in bytes: after a pause, in which what was measured before is let go. */
const heap = Effect.delay(
  Effect.sync(() => {
    globalThis.gc?.()
    return process.memoryUsage().heapUsed
  }),
  "100 millis"
)

const measure = (acquire: Effect.Effect<void, never, Scope.Scope>) =>
  Effect.gen(function*() {
    const lifecycle = yield* Lifecycle.make()
    yield* lifecycle.transition("Running")
    const scope = yield* Scope.make()
    const before = yield* heap
    const acquired = yield* costOf(
      Effect.provideService(Scope.extend(acquire, scope), Shutdown.Shutdown, lifecycle.shutdown)
    )
    const open = yield* heap
    yield* lifecycle.shutdown.begin({ reason: "measured" })
    yield* lifecycle.transition("Draining")
    const closed = yield* costOf(Scope.close(scope, Exit.void))
    const after = yield* heap
    // The journal is held until here.
    yield* lifecycle.transition("Stopped")
    return { acquired, closed, open: open - before, after: after - before }
  })

type Measured = Effect.Effect.Success<ReturnType<typeof measure>>

const measured = new Map<string, Array<Measured>>()
const run = async (key: string, acquire: Effect.Effect<void, never, Scope.Scope>) => {
  const result = await Effect.runPromise(
    Effect.provide(Effect.orDie(measure(acquire)), Logger.remove(Logger.defaultLogger))
  )
  measured.set(key, [...measured.get(key) ?? [], result])
}
const counts = [count / 4, count / 2, count]
const waiting = "Drain, drain and release that wait"
for (let round = 0; round < rounds; round++) {
  for (const [name, acquire] of Object.entries(kinds)) await run(name, acquire(count))
  for (const some of counts) await run(`${some}`, kinds[waiting](some))
  console.error(`round ${round + 1} of ${rounds}`)
}

const of = (key: string, figure: (result: Measured) => number) => median(measured.get(key)!.map(figure))
const perResource = (cpu: number) => `${(cpu / count).toFixed(1)} us`
const ms = (value: number) => `${Math.round(value)} ms`
const mb = (value: number) => `${(value / 1e6).toFixed(1)} MB`
const plain = of("acquireRelease", ({ closed }) => closed.cpu)

console.log(
  `${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${count} resources, ${rounds} rounds, medians\n`
)
console.log(table([
  ["resource", "acquire: CPU of each", "loop blocked", "close: CPU of each", "of acquireRelease", "time of all", "loop blocked"],
  ...Object.keys(kinds).map((name) => [
    name,
    perResource(of(name, ({ acquired }) => acquired.cpu)),
    ms(of(name, ({ acquired }) => acquired.blocked)),
    perResource(of(name, ({ closed }) => closed.cpu)),
    (of(name, ({ closed }) => closed.cpu) / plain).toFixed(1),
    ms(of(name, ({ closed }) => closed.time)),
    ms(of(name, ({ closed }) => closed.blocked))
  ])
]))
console.log(`\n${waiting}: memory\n`)
console.log(table([
  ["resources", "open", "released, in the journal"],
  ...counts.map((some) => [`${some}`, mb(of(`${some}`, ({ open }) => open)), mb(of(`${some}`, ({ after }) => after))])
]))
