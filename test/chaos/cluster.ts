// The processes of the service. Each is started again when it has ended, as a platform does.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { ShutdownReport } from "../../src/core/ShutdownReport.js"
import { Child, type Ended } from "../kit/child.js"
import { bundle } from "../kit/programs.js"

/** The life of one process, from its start to its exit. */
export interface Life extends Ended {
  readonly name: string
  readonly started: number
  readonly ended: number
  /** Whether it has printed anything. Before that Node itself starts, which any signal ends. */
  readonly hasOutput: boolean
  /** Whether it reached the state Running. */
  readonly hasRun: boolean
  /** Whether it killed itself at its deadline, because its event loop was blocked: the machine was busy. */
  readonly killedItself: boolean
  /** The signals that it was sent, in order. */
  readonly signals: ReadonlyArray<{ readonly at: number; readonly signal: NodeJS.Signals }>
  readonly report: typeof ShutdownReport.Encoded | undefined
}

/** Undefined when the process wrote none, or was killed while it wrote. */
const readReport = (path: string): Life["report"] => {
  try {
    return JSON.parse(Fs.readFileSync(path, "utf8")) as Life["report"]
  } catch {
    return undefined
  }
}

class Instance extends Child {
  readonly started = Date.now()
  readonly signals: Array<{ readonly at: number; readonly signal: NodeJS.Signals }> = []
  /** Known once it listens. */
  url: string | undefined

  constructor(readonly name: string, readonly folder: string, program: string, env: Record<string, string>) {
    super(process.execPath, [bundle(program)], {
      ...env,
      NAME: name,
      JOURNAL: Path.join(folder, "journal"),
      SHUTDOWN_REPORT: Path.join(folder, `report-${name}.json`)
    }, folder)
    this.waitFor(/listening on (http:\/\/[\w.:-]+)/).then(([, url]) => (this.url = url), () => undefined)
  }

  send(signal: NodeJS.Signals) {
    this.signals.push({ at: Date.now(), signal })
    this.kill(signal)
  }

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
      hasOutput: this.output !== "",
      hasRun: this.output.includes("running; stops within"),
      killedItself: this.output.includes("kills the process at its deadline"),
      signals: this.signals,
      report: readReport(report)
    }
  }
}

/** Keeps one process running: when it ends, the next is started. */
class Slot {
  instance: Instance | undefined
  private stopping = false
  private number = 0
  private readonly done: Promise<void>

  constructor(
    private readonly name: number,
    private readonly folder: string,
    private readonly program: string,
    private readonly env: Record<string, string>,
    private readonly lives: Array<Life>
  ) {
    this.done = this.supervise()
  }

  private async supervise() {
    while (!this.stopping) {
      this.instance = new Instance(`${this.name}.${++this.number}`, this.folder, this.program, this.env)
      this.lives.push(await this.instance.life())
      this.instance = undefined
      // A platform backs off after a failed start.
      if (!this.stopping) await sleep(this.lives.at(-1)!.hasRun ? 100 : 300)
    }
  }

  /** Sends SIGTERM, and SIGKILL after so many milliseconds. */
  async stop(timeout: number) {
    this.stopping = true
    this.instance?.send("SIGTERM")
    const cancel = new AbortController()
    const kill = sleep(timeout, undefined, { signal: cancel.signal }).then(
      () => this.instance?.send("SIGKILL"),
      () => undefined
    )
    await this.done
    cancel.abort()
    await kill
  }
}

export class Cluster {
  readonly lives: Array<Life> = []
  private readonly slots: ReadonlyArray<Slot>

  constructor(
    size: number,
    folder: string,
    env: Record<string, string>,
    program = "test/fixtures/chaos/service.ts"
  ) {
    this.slots = Array.from({ length: size }, (_, index) => new Slot(index + 1, folder, program, env, this.lives))
  }

  /** The process in this slot, from 1. Undefined while the next one is not started. */
  at = (slot: number): Instance | undefined => this.slots[slot - 1]!.instance

  urls = (): ReadonlyArray<string> => this.slots.flatMap(({ instance }) => instance?.url ?? [])

  stop = (timeout: number) => Promise.all(this.slots.map((slot) => slot.stop(timeout)))
}
