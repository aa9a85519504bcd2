import { Context, Deferred, Effect, type Fiber, Option } from "effect"

type Main = Fiber.RuntimeFiber<unknown, unknown>

/** The end of a process, for the launch whose layer is closed last. */
interface LastClosed {
  /** The main fibers of all launches: they release what is provided outside of `launch`. */
  readonly mains: ReadonlyArray<Main>
  /** Completes when each launch has ended, with the highest of their exit codes. */
  readonly exitCode: Effect.Effect<number>
}

/** One launch among those of its process. */
interface Launch {
  /** The number of the launch, counted from 1 in the order of their starts. */
  readonly number: number
  /** Requests the shutdown of the other launches. */
  readonly beginOthers: (reason: string) => Effect.Effect<void>
  /** Records that its layer is closed. None while another layer is not. */
  readonly close: Effect.Effect<Option.Option<LastClosed>>
  /** Records that it has ended: its report is published. */
  readonly end: (exitCode: number) => Effect.Effect<void>
}

interface Service {
  /** Adds a launch; `begin` requests its shutdown. None once all layers are closed, because the process ends. */
  readonly add: (
    main: Main,
    begin: (reason: string) => Effect.Effect<void>
  ) => Effect.Effect<Option.Option<Launch>>
}

const make = (): Service => {
  interface Entry {
    readonly main: Main
    readonly begin: (reason: string) => Effect.Effect<void>
    readonly ended: Deferred.Deferred<number>
    closed: boolean
  }
  let entries: ReadonlyArray<Entry> = []
  let begun = Option.none<string>()

  const launch = (entry: Entry): Launch => {
    const number = entries.length
    return {
      number,
      beginOthers: (reason) =>
        Effect.suspend(() => {
          if (Option.isSome(begun)) return Effect.void
          const named = `launch ${number}: ${reason}`
          begun = Option.some(named)
          return Effect.forEach(entries, (other) => other === entry ? Effect.void : other.begin(named), {
            discard: true
          })
        }),
      close: Effect.sync(() => {
        entry.closed = true
        if (entries.some(({ closed }) => !closed)) return Option.none()
        const all = entries
        return Option.some({
          mains: [...new Set(all.map(({ main }) => main))],
          exitCode: Effect.forEach(all, ({ ended }) => Deferred.await(ended)).pipe(
            Effect.map((codes) => {
              entries = []
              begun = Option.none()
              return Math.max(...codes)
            })
          )
        })
      }),
      end: (exitCode) => Deferred.succeed(entry.ended, exitCode)
    }
  }

  return {
    add: (main, begin) =>
      Effect.flatMap(Deferred.make<number>(), (ended) =>
        Effect.suspend(() => {
          if (entries.length > 0 && entries.every(({ closed }) => closed)) return Effect.succeedNone
          const entry: Entry = { main, begin, ended, closed: false }
          entries = [...entries, entry]
          return Effect.as(
            Option.match(begun, { onNone: () => Effect.void, onSome: begin }),
            Option.some(launch(entry))
          )
        }))
  }
}

/**
 * The launches of this process. A process is one service: a launch that stops requests the shutdown of the others, and the
 * process ends after the last one.
 */
export class Launches extends Context.Reference<Launches>()("lastcall/Launches", { defaultValue: make }) {
  /** The launches of a process that a test stands in for. */
  static readonly make = Effect.sync(make)
}
