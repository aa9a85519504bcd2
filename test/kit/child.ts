import { type ChildProcess, spawn } from "node:child_process"

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process, and its output so far. */
export class Child {
  output = ""
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  private closed = false
  private readonly waiting = new Set<() => void>()

  constructor(
    command: string,
    args: ReadonlyArray<string>,
    env: Record<string, string> = {},
    cwd?: string,
    stdin: "ignore" | "pipe" = "ignore",
    /** File descriptors of this process that the child gets as 3, 4 and so on. */
    inherited: ReadonlyArray<number> = []
  ) {
    this.process = spawn(command, args, {
      stdio: [stdin, "pipe", "pipe", ...inherited],
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...env },
      ...(cwd === undefined ? {} : { cwd })
    })
    const wake = () => this.waiting.forEach((check) => check())
    const collect = (text: string) => {
      this.output += text
      wake()
    }
    // A chunk may end in the middle of a character.
    this.process.stdout!.setEncoding("utf8").on("data", collect)
    this.process.stderr!.setEncoding("utf8").on("data", collect)
    this.ended = new Promise((resolve) =>
      this.process.once("close", (code, signal) => {
        this.closed = true
        resolve({ code, signal })
        wake()
      })
    )
  }

  /** The first match of the pattern in the output. Rejects when the process ends without one. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    return this.waitForValue(String(pattern), () => pattern.exec(this.output))
  }

  /** The first value that is not null, looked for after each piece of output. Rejects when the process ends without one. */
  waitForValue<A>(what: string, look: () => A | null): Promise<A> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = look()
        if (found !== null) {
          this.waiting.delete(check)
          resolve(found)
        } else if (this.closed) {
          this.waiting.delete(check)
          reject(new Error(`ended without ${what}:\n${this.output}`))
        }
      }
      this.waiting.add(check)
      check()
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal)
  }

  /** Kills the process, if it still runs. */
  async end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGKILL")
    await this.ended
  }
}
