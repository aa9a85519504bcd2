import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { freePort } from "./freePort.js"

/** Injects faults into a server that was started for this. The server keeps everything that it has acknowledged. */
export interface ServerControls {
  readonly port: number
  /** Shuts it down as for a planned restart: it closes its connections. */
  readonly stop: () => Promise<void>
  /** Kills it, as a crash does. */
  readonly kill: () => Promise<void>
  readonly start: () => Promise<void>
  /** Stops its processes: its sockets stay open and accept connections, but nothing responds until `thaw`. */
  readonly freeze: () => void
  readonly thaw: () => void
}

export interface Program {
  readonly name: string
  readonly file: string
  readonly options: (port: number, folder: string) => ReadonlyArray<string>
  /** What its environment has besides that of the tests. */
  readonly env?: (port: number, folder: string) => Record<string, string>
  /** The line that it prints when it accepts connections. */
  readonly ready: string
  /** The user that it runs as, where it refuses to run as root. */
  readonly as?: { readonly uid?: number; readonly gid?: number }
  readonly signals: { readonly stop: NodeJS.Signals; readonly kill: NodeJS.Signals }
}

/** A server in a temporary folder, on a free port. */
export abstract class Throwaway implements ServerControls {
  port = 0
  protected folder = ""
  private child: ChildProcess | undefined
  private exited: Promise<void> = Promise.resolve()

  constructor(protected readonly program: Program) {}

  async create(): Promise<void> {
    const { as = {}, name } = this.program
    this.folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), `lastcall-${name}-`))
    if (as.uid !== undefined && as.gid !== undefined) Fs.chownSync(this.folder, as.uid, as.gid)
    await this.prepare()
    this.port = await freePort()
    await this.start()
  }

  /** Fills the folder before the first start. */
  protected prepare(): void | Promise<void> {}

  /** Retries while the port is in use: a client may have connected from it while the server was down. */
  start = async (): Promise<void> => {
    for (let tries = 1;; tries++) {
      try {
        return await this.launch()
      } catch (error) {
        if (tries === 50 || !String(error).includes("Address already in use")) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  private launch = () =>
    new Promise<void>((resolve, reject) => {
      const { as = {}, env, file, name, options, ready } = this.program
      const stdio = ["ignore", "pipe", "pipe"] as ["ignore", "pipe", "pipe"]
      const child = spawn(file, options(this.port, this.folder), {
        ...as,
        cwd: this.folder,
        env: { ...process.env, ...env?.(this.port, this.folder) },
        stdio
      })
      let output = ""
      const collect = (chunk: Buffer) => {
        output += chunk.toString()
        if (output.includes(ready)) resolve()
      }
      child.stdout.on("data", collect)
      child.stderr.on("data", collect)
      this.exited = new Promise((exited) =>
        child.once("close", () => {
          reject(new Error(`${name} ended: ${output}`))
          exited()
        })
      )
      this.child = child
    })

  private end(signal: NodeJS.Signals) {
    this.child?.kill(signal)
    return this.exited
  }

  stop = () => this.end(this.program.signals.stop)
  kill = () => this.end(this.program.signals.kill)

  /** Restarts it without what is in this folder of its own. */
  protected async startWithout(data: string): Promise<void> {
    await this.kill()
    Fs.rmSync(Path.join(this.folder, data), { recursive: true, force: true })
    await this.start()
  }

  /** The ids of its processes. */
  protected family(pid: number): ReadonlyArray<number> {
    return [pid]
  }

  private signalAll(signal: NodeJS.Signals) {
    for (const pid of this.family(this.child!.pid!)) {
      try {
        process.kill(pid, signal)
      } catch (error) {
        // A worker process has ended meanwhile.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
      }
    }
  }

  freeze = () => this.signalAll("SIGSTOP")
  thaw = () => this.signalAll("SIGCONT")

  async remove(): Promise<void> {
    if (this.child?.exitCode === null && this.child.signalCode === null) this.thaw()
    await this.kill()
    Fs.rmSync(this.folder, { recursive: true, force: true })
  }
}
