import * as Fs from "node:fs"
import * as Path from "node:path"
import { test } from "vitest"
import type { ShutdownReport } from "../../src/core/ShutdownReport.js"
import type { Import } from "../../src/programs/importer/Domain.js"
import { Child } from "./child.js"
import { bundle, installation } from "./programs.js"
import { temporaryFolder } from "./temporaryFolder.js"
import { poll } from "./until.js"

export type ImportStatus = typeof Import.Encoded
export type Report = typeof ShutdownReport.Encoded

/** A folder in which the service is installed and built, but was never started. */
export const installed = (): string => {
  const folder = temporaryFolder()
  Fs.copyFileSync(Path.join(installation(), "package.json"), Path.join(folder, "package.json"))
  Fs.symlinkSync(Path.join(installation(), "dist"), Path.join(folder, "dist"))
  return folder
}

/** A client of the service's API. */
export class Api {
  constructor(readonly url: (path: string) => Promise<string>) {}

  request = async (path: string, init: RequestInit = {}) =>
    fetch(await this.url(path), { signal: AbortSignal.timeout(60_000), ...init })

  json = async <A>(path: string) => (await (await this.request(path)).json()) as A

  async upload(body: string, query: Record<string, string> = {}): Promise<ImportStatus> {
    const response = await this.request(`/imports?${new URLSearchParams(query)}`, {
      method: "POST",
      headers: { "content-type": "text/csv" },
      body
    })
    const text = await response.text()
    if (response.status !== 202) throw new Error(`the upload was answered ${response.status}: ${text}`)
    return JSON.parse(text) as ImportStatus
  }

  status = (id: string) => this.json<ImportStatus>(`/imports/${id}`)

  /** The import, once the test accepts it. */
  has = (id: string, what: string, test: (found: ImportStatus) => boolean, within?: number) =>
    poll(what, async () => {
      const found = await this.status(id)
      if (!test(found) && found.status === "Failed") throw new Error(JSON.stringify(found))
      return test(found) ? found : undefined
    }, within)

  completed = (id: string, within?: number) =>
    this.has(id, `${id} is completed`, (_) => _.status === "Completed", within)

  /** All rows of an import, page by page. */
  async *rows(id: string): AsyncGenerator<{ readonly rowNumber: number; readonly data: unknown }> {
    for (let after: number | null = 0; after !== null;) {
      const page: { rows: Array<{ rowNumber: number; data: unknown }>; next: number | null } = await this.json(
        `/imports/${id}/rows?after=${after}&limit=1000`
      )
      yield* page.rows
      after = page.next
    }
  }
}

export const readReport = (folder: string) =>
  JSON.parse(Fs.readFileSync(Path.join(folder, "report.json"), "utf8")) as Report

/** The reference service in a folder of its own and on a free port. */
export class ServiceProcess extends Child {
  constructor(env: Record<string, string> = {}, readonly folder = temporaryFolder()) {
    super(
      process.execPath,
      [bundle("src/main.ts")],
      { PORT: "0", SHUTDOWN_REPORT: "report.json", ...env },
      folder
    )
  }

  get lines(): ReadonlyArray<string> {
    return this.output.split("\n").filter((line) => line !== "")
  }

  readonly api = new Api(async (path) => (await this.waitFor(/listening on (http:\/\/[\w.:-]+)/))[1]! + path)

  /** Resolves when the state is Running. */
  runs = () => this.waitFor(/running; stops within/)

  /** The report, once the process has ended. */
  report = () => readReport(this.folder)
}

export type Start = (env?: Record<string, string>, folder?: string) => ServiceProcess

/** `it` with `start`, which starts a service and kills it after the test, if it still runs. */
export const it = test.extend<{ readonly start: Start }>({
  start: async ({}, use) => {
    const started: Array<ServiceProcess> = []
    await use((env, folder) => {
      const service = new ServiceProcess(env, folder)
      started.push(service)
      return service
    })
    await Promise.all(started.map((service) => service.end()))
  }
})
