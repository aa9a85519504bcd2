// Shared by the crash tests: a file that is hard to parse, random moments, and the check of the result.
import { assert } from "vitest"
import { long } from "../kit/long.js"
import type { Postgres } from "../kit/postgresServer.js"
import { random, seed } from "../kit/random.js"
import type { Api, ServiceProcess } from "../kit/service.js"
import { poll } from "../kit/until.js"

/** More rows in the long form. */
export const rows = long ? 200_000 : 20_000
export const timeout = long ? 900_000 : 120_000

/** Text with quotes, commas, newlines and multi-byte characters, which a cut in the wrong place would break. */
const name = (n: number) => n % 7 === 0 ? `no. ${n}, "the\nseventh"` : n % 3 === 0 ? `Ümläut № ${n}` : `row ${n}`

const quoted = (text: string) => /[",\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text

export const columns = "id:integer,amount:number"

export const csv = (rows: number): string => {
  const lines = ["id,name,amount"]
  for (let n = 1; n <= rows; n++) lines.push(`${n},${quoted(name(n))},${n / 4}`)
  return `${lines.join("\n")}\n`
}

/** Asserts that exactly the rows of the file are loaded, each once, in order and unchanged. */
export const verify = async (api: Api, id: string, rows: number) => {
  let last = 0
  for await (const { data, rowNumber } of api.rows(id)) {
    last++
    assert.strictEqual(rowNumber, last, "the next row number")
    assert.deepStrictEqual(data, { id: last, name: name(last), amount: last / 4 })
  }
  assert.strictEqual(last, rows)
  const status = await api.status(id)
  assert.deepInclude(status, { rowsTotal: rows, rowsLoaded: rows, rowsRejected: 0, status: "Completed" })
}

/** Starts two processes over one database, and uploads a file to each. */
export const twoLoading = async (start: () => ServiceProcess, file: string) => {
  const services = [start(), start()] as const
  const ids = await Promise.all(services.map(async (service) => {
    await service.runs()
    return (await service.api.upload(file, { columns })).id
  }))
  return { services, ids }
}

/** How many rows of all files are loaded. */
export const loadedIn = (postgres: Postgres) => async () =>
  Number((await postgres.query("SELECT sum(rows_loaded) AS loaded FROM imports"))[0]!["loaded"])

type Signal = "SIGTERM" | "SIGKILL"

/** When a process is ended: `after` milliseconds after `atRow` rows are loaded. */
export interface Crash {
  readonly signal: Signal
  readonly atRow: number
  readonly after: number
}

let drawn = 0

/** Random moments while that many rows are loaded. LASTCALL_SEED repeats them. */
export const crashes = (
  title: string,
  { rows, sigkill, sigterm }: { readonly rows: number; readonly sigterm: number; readonly sigkill: number }
): ReadonlyArray<Crash> => {
  const next = random(seed + drawn++)
  const moments = [...Array<Signal>(sigterm).fill("SIGTERM"), ...Array<Signal>(sigkill).fill("SIGKILL")]
    .map((signal) => ({ signal, atRow: Math.floor(next() * 0.9 * rows), after: Math.floor(next() * 100) }))
    .sort((a, b) => a.atRow - b.atRow)
  console.log(`${title}: LASTCALL_SEED=${seed}, ${moments.map((_) => `${_.signal}@${_.atRow}+${_.after}ms`).join(" ")}`)
  return moments
}

/** Ends the process at that moment, and checks its exit and report. Returns how many jobs it handed back. */
const end = async (service: ServiceProcess, { after, signal }: Crash): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, after))
  service.kill(signal)
  const ended = await service.ended
  if (signal === "SIGKILL") {
    assert.deepStrictEqual(ended, { code: null, signal })
    return 0
  }
  assert.deepStrictEqual(ended, { code: 0, signal: null }, service.output)
  const report = service.report()
  assert.deepInclude(report, { cause: signal, from: "Running", exitCode: 0 })
  const importer = report.drains.find((drain) => drain.name === "importer")
  assert.isDefined(importer, JSON.stringify(report))
  assert.deepInclude(importer, { cut: 0 })
  assert.oneOf(importer.outcome, ["Drained", "Interrupted"])
  return importer.handedBack
}

/** A process that runs. One whose engine is away, or goes away, at its start ends with an error, and is started again, as Kubernetes does. */
const started = async (start: () => ServiceProcess, attempts = 20): Promise<ServiceProcess> => {
  const service = start()
  try {
    await service.runs()
    return service
  } catch (error) {
    if (attempts === 1 || !/cannot start: .*(cannot be reached|is away)/.test(service.output)) throw error
    return started(start, attempts - 1)
  }
}

/**
 * Ends one process after the other, and starts the next, while rows are loaded. `loaded` counts them. Returns the process that runs
 * at the end, and how many jobs the others handed back.
 */
export const crashRepeatedly = async (
  start: () => ServiceProcess,
  rows: number,
  crashes: ReadonlyArray<Crash>,
  first: ServiceProcess,
  loaded: (service: ServiceProcess) => Promise<number>
) => {
  let service = first
  let handedBack = 0
  await service.runs()
  for (const crash of crashes) {
    const before = await loaded(service)
    await poll(`more than ${before} rows are loaded, and ${crash.atRow}`, async () => {
      const now = await loaded(service)
      return now > before && now >= crash.atRow || now === rows || undefined
    })
    handedBack += await end(service, crash)
    service = await started(start)
  }
  return { service, handedBack }
}
