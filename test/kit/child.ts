import { type ChildProcess, spawn } from "node:child_process"

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A real process, its output so far, and how to wait for what it says. */
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
    stdin: "ignore" | "pipe" = "ignore"
  ) {
    this.process = spawn(command, args, {
      stdio: [stdin, "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...env },
      ...(cwd === undefined ? {} : { cwd })
    })
    const wake = () => this.waiting.forEach((check) => check())
    const collect = (text: string) => {
      this.output += text
      wake()
    }
    // Pieces of a stream may end in the middle of a character.
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

  /** The match of this pattern in what the process has written. Rejects when the process ends without it. */
  said(pattern: RegExp): Promise<RegExpExecArray> {
    return this.saw(String(pattern), () => pattern.exec(this.output))
  }

  /** What is found in the output as soon as it is there. Rejects when the process ends without it. */
  saw<A>(what: string, look: () => A | null): Promise<A> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = look()
        if (found !== null) {
          this.waiting.delete(check)
          resolve(found)
        } else if (this.closed) {
          this.waiting.delete(check)
          reject(new Error(`ended without saying ${what}:\n${this.output}`))
        }
      }
      this.waiting.add(check)
      check()
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal)
  }

  /** Ends the process, if it still runs: for a test's clean-up. */
  async end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGKILL")
    await this.ended
  }
}
