import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { freePort } from "./freePort.js"

/** A server that was started for this alone, and may therefore be hurt. It forgets nothing that it has acknowledged. */
export interface Hurtable {
  readonly port: number
  /** Sends everybody away and ends, as at a planned restart. */
  readonly stop: () => Promise<void>
  /** Ends as in a crash, without a word to anybody. */
  readonly kill: () => Promise<void>
  readonly start: () => Promise<void>
  /** Keeps its sockets open and accepts more, and answers nobody, until thawed. */
  readonly freeze: () => void
  readonly thaw: () => void
}

export interface Program {
  readonly name: string
  readonly file: string
  readonly options: (port: number, folder: string) => ReadonlyArray<string>
  /** What it says when it accepts connections. */
  readonly ready: string
  /** Who it runs as, where it refuses to run as who runs the tests. */
  readonly as?: { readonly uid?: number; readonly gid?: number }
  readonly signals: { readonly stop: NodeJS.Signals; readonly kill: NodeJS.Signals }
}

/** A server in a folder of its own, on a free port, for tests and for what else needs one. */
export abstract class Throwaway implements Hurtable {
  port = 0
  protected folder = ""
  private child: ChildProcess | undefined
  private exited: Promise<void> = Promise.resolve()

  constructor(protected readonly program: Program) {}

  async create(): Promise<void> {
    const { as = {}, name } = this.program
    this.folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), `lastcall-${name}-`))
    if (as.uid !== undefined && as.gid !== undefined) Fs.chownSync(this.folder, as.uid, as.gid)
    this.prepare()
    this.port = await freePort()
    await this.start()
  }

  /** What its folder needs before the first start. */
  protected prepare(): void {}

  /** While it was down somebody may have connected from its port, which takes a moment to be free again. */
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
      const { as = {}, file, name, options, ready } = this.program
      const stdio = ["ignore", "pipe", "pipe"] as ["ignore", "pipe", "pipe"]
      const child = spawn(file, options(this.port, this.folder), { ...as, cwd: this.folder, stdio })
      let said = ""
      const hear = (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes(ready)) resolve()
      }
      child.stdout.on("data", hear)
      child.stderr.on("data", hear)
      this.exited = new Promise((exited) =>
        child.once("close", () => {
          reject(new Error(`${name} ended: ${said}`))
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

  /** All of its processes. */
  protected family(pid: number): ReadonlyArray<number> {
    return [pid]
  }

  private tellFamily(signal: NodeJS.Signals) {
    for (const pid of this.family(this.child!.pid!)) {
      try {
        process.kill(pid, signal)
      } catch (error) {
        // Its workers come and go.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
      }
    }
  }

  freeze = () => this.tellFamily("SIGSTOP")
  thaw = () => this.tellFamily("SIGCONT")

  async remove(): Promise<void> {
    if (this.child?.exitCode === null && this.child.signalCode === null) this.thaw()
    await this.kill()
    Fs.rmSync(this.folder, { recursive: true, force: true })
  }
}
