/**
 * Measures what the start and the end of a process cost: npm run process [rounds]
 *
 * Programs take turns, round after round. The end: a request is in flight at SIGTERM, and its client closes the connection
 * after the response. The start: a process that imports a package and exits.
 */
import { spawn } from "node:child_process"
import { cpus } from "node:os"
import { median, start, table } from "../servers.js"
import { exitLag } from "../shutdown/measurements.js"

const rounds = Number(process.argv[2] ?? 9)

const ends = [
  ["node:http", "node", {}],
  ["node:http, importing platform-node", "node", { IMPORT: "@effect/platform-node" }],
  ["lastcall HttpServer", "lastcall", {}]
] as const
const imports = { "@effect/platform-node": "@effect/platform-node", lastcall: "../dist/index.js" }

const importTime = (path: string) =>
  new Promise<number>((resolve, reject) => {
    const from = performance.now()
    const cwd = new URL("..", import.meta.url)
    spawn(process.execPath, ["--input-type=module", "--eval", `import "${path}"; process.exit()`], { cwd, stdio: "inherit" })
      .once("exit", (code) => code === 0 ? resolve(performance.now() - from) : reject(new Error(`${path}: ${code}`)))
  })

const measured = new Map<string, Array<number>>()
const add = (name: string, value: number) => measured.set(name, [...measured.get(name) ?? [], value])
for (let round = 0; round < rounds; round++) {
  for (const [name, file, env] of ends) add(name, await exitLag(await start(name, `./process/${file}.mjs`, env)))
  for (const [name, path] of Object.entries(imports)) add(`import "${name}"`, await importTime(path))
}

const ms = (value: number) => `${Math.round(value)} ms`
console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${rounds} rounds\n`)
console.log(table([
  ["program", "median", "lowest", "highest"],
  ...Array.from(measured, ([name, values]) => [
    name,
    ms(median(values)),
    ms(Math.min(...values)),
    ms(Math.max(...values))
  ])
]))
