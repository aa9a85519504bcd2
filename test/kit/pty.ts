import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { describe } from "vitest"
import { cannot } from "./cannot.js"
import { Child } from "./child.js"
import { Screen, size } from "./screen.js"

/** A process in /proc. */
interface Listed {
  readonly pid: number
  readonly parent: number
  readonly session: number
  readonly command: string
}

const list = (): ReadonlyArray<Listed> =>
  Fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = Fs.readFileSync(`/proc/${name}/stat`, "utf8")
      const [state, parent, , session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      // A zombie has ended.
      if (state === "Z" || state === "X") return []
      const command = Fs.readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").join(" ").trim()
      return [{ pid: Number(name), parent: Number(parent), session: Number(session), command }]
    } catch {
      // The process has ended meanwhile.
      return []
    }
  })

/**
 * A command in a terminal of its own. The command leads a session, and Ctrl+C reaches its foreground process group as a
 * signal, as in a terminal emulator. `script` of util-linux makes the terminal.
 */
export class Pty extends Child {
  readonly screen = new Screen()
  private read = 0
  private session: number | undefined

  constructor(command: string, env: Record<string, string>, cwd: string) {
    const line = `stty cols ${size.columns} rows ${size.rows}; exec ${command}`
    super("script", ["-qefc", line, "/dev/null"], { SHELL: "/bin/sh", TERM: "xterm", ...env }, cwd, "pipe")
  }

  /** The text on the screen. */
  get text() {
    this.screen.write(this.output.slice(this.read))
    this.read = this.output.length
    return this.screen.text
  }

  /** The first match of the pattern on the screen. Rejects when the command ends without one. */
  shows(pattern: RegExp): Promise<RegExpExecArray> {
    return this.waitForValue(`${pattern} on the screen`, () => pattern.exec(this.text))
  }

  type(keys: string): void {
    this.process.stdin!.write(keys)
  }

  /** Presses Ctrl+C. */
  interrupt(): void {
    this.type("\x03")
  }

  /** All processes of this terminal, including those whose parent has ended. */
  processes(): ReadonlyArray<Listed> {
    const all = list()
    // The child of `script` leads the session, so its pid is the id of the session.
    this.session ??= all.find((found) => found.parent === this.process.pid && found.session === found.pid)?.session
    return this.session === undefined ? [] : all.filter((found) => found.session === this.session)
  }

  /** Kills the processes that still run. */
  async close(): Promise<void> {
    for (const { pid } of this.processes()) {
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // The process has ended meanwhile.
      }
    }
    await this.end()
  }
}

/** `describe` for tests that need a terminal. */
export const describeTerminal = (name: string, body: () => void): void => {
  const { error, stdout } = spawnSync("script", ["-qefc", "test -t 0 && test -t 1 && echo a terminal", "/dev/null"], {
    encoding: "utf8"
  })
  if (error === undefined && stdout.includes("a terminal") && Fs.existsSync("/proc/self/stat")) {
    describe(name, body)
    return
  }
  cannot(name, "there is no `script` of util-linux here that gives a terminal")
}
