import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

/** A server in a process of its own. */
export interface Server {
  readonly name: string
  readonly child: ChildProcess
  readonly port: number
  /** Completes with the moment of its end, as `performance.now()`. */
  readonly exited: Promise<number>
}

/** Starts a program of this folder, and waits until it has said on which port it listens. */
export const start = (name: string, path: string, env: NodeJS.ProcessEnv = {}): Promise<Server> =>
  new Promise((resolve, reject) => {
    const program = fileURLToPath(new URL(path, import.meta.url))
    const loader = path.endsWith(".ts") ? ["--import", "tsx"] : []
    const child = spawn(process.execPath, [...loader, program], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      env: { ...process.env, ...env }
    })
    const exited = new Promise<number>((resolve) => child.once("exit", () => resolve(performance.now())))
    let output = ""
    child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk
      const port = /^listening on (\d+)$/m.exec(output)?.[1]
      if (port !== undefined) resolve({ name, child, port: Number(port), exited })
    })
    child.once("exit", () => reject(new Error(`${name} ended: ${output}`)))
  })

export const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[values.length >> 1]!

/** A table for terminals and for Markdown. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>) => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: ReadonlyArray<string>) => `| ${row.map((cell, n) => cell.padEnd(widths[n]!)).join(" | ")} |`
  const [head, ...body] = rows
  return [line(head!), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...body.map(line)].join("\n")
}
