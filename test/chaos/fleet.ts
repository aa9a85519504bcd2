// The processes of the service, each started again whenever it ends, as a platform does.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { ShutdownReport } from "../../src/core/ShutdownReport.js"
import { Child, type Ended } from "../kit/child.js"
import { bundle } from "../kit/programs.js"

/** How one process lived and ended. */
export interface Life extends Ended {
  readonly name: string
  readonly started: number
  readonly ended: number
  /** Whether it came to say anything: before that it is Node that starts, and any signal ends it. */
  readonly spoke: boolean
  /** Whether it came to run. */
  readonly ran: boolean
  /** What it was sent, in order. */
  readonly told: ReadonlyArray<{ readonly at: number; readonly signal: NodeJS.Signals }>
  readonly report: typeof ShutdownReport.Encoded | undefined
}

/** None when it came to no end, or was killed while it wrote. */
const readReport = (path: string): Life["report"] => {
  try {
    return JSON.parse(Fs.readFileSync(path, "utf8")) as Life["report"]
  } catch {
    return undefined
  }
}

class Instance extends Child {
  readonly started = Date.now()
  readonly told: Array<{ readonly at: number; readonly signal: NodeJS.Signals }> = []

  constructor(readonly name: string, readonly folder: string, env: Record<string, string>) {
    super(process.execPath, [bundle("test/fixtures/chaos/service.ts")], {
      ...env,
      NAME: name,
      JOURNAL: Path.join(folder, "journal"),
      SHUTDOWN_REPORT: Path.join(folder, `report-${name}.json`)
    }, folder)
    this.said(/listening on (http:\/\/[\w.:-]+)/).then(([, url]) => (this.url = url), () => undefined)
  }

  tell(signal: NodeJS.Signals) {
    this.told.push({ at: Date.now(), signal })
    this.kill(signal)
  }

  /** Where it listens, as soon as it does. */
  url: string | undefined

  async life(): Promise<Life> {
    const { code, signal } = await this.ended
    const ended = Date.now()
    const report = Path.join(this.folder, `report-${this.name}.json`)
    Fs.writeFileSync(Path.join(this.folder, `log-${this.name}`), this.output)
    return {
      name: this.name,
      code,
      signal,
      started: this.started,
      ended,
      spoke: this.output !== "",
      ran: this.output.includes("running; stops within"),
      told: this.told,
      report: readReport(report)
    }
  }
}

/** One place for a process: as soon as one has ended, the next is started. */
class Place {
  instance: Instance | undefined
  private stopping = false
  private number = 0
  private readonly done: Promise<void>

  constructor(
    private readonly name: number,
    private readonly folder: string,
    private readonly env: Record<string, string>,
    private readonly lives: Array<Life>
  ) {
    this.done = this.watch()
  }

  private async watch() {
    while (!this.stopping) {
      this.instance = new Instance(`${this.name}.${++this.number}`, this.folder, this.env)
      this.lives.push(await this.instance.life())
      this.instance = undefined
      // A platform backs off when one does not come up.
      if (!this.stopping) await sleep(this.lives.at(-1)!.ran ? 100 : 300)
    }
  }

  /** Tells what runs to stop, and gives it so long. */
  async stop(within: number) {
    this.stopping = true
    this.instance?.tell("SIGTERM")
    const gaveUp = new AbortController()
    const late = sleep(within, undefined, { signal: gaveUp.signal }).then(
      () => this.instance?.tell("SIGKILL"),
      () => undefined
    )
    await this.done
    gaveUp.abort()
    await late
  }
}

export class Fleet {
  readonly lives: Array<Life> = []
  private readonly places: ReadonlyArray<Place>

  constructor(size: number, folder: string, env: Record<string, string>) {
    this.places = Array.from({ length: size }, (_, index) => new Place(index + 1, folder, env, this.lives))
  }

  /** The process in this place, if there is one now. */
  at = (place: number): Instance | undefined => this.places[place - 1]!.instance

  urls = (): ReadonlyArray<string> => this.places.flatMap(({ instance }) => instance?.url ?? [])

  stop = (within: number) => Promise.all(this.places.map((place) => place.stop(within)))
}
