/**
 * The client of the API. Its types are those of the server.
 */
import type { DeadLetter, Guess, Import, Rejects } from "../Domain.js"
import type { LastShutdown, ServiceState } from "../ServiceState.js"

export type ImportItem = typeof Import.Encoded
export type ColumnGuess = typeof Guess.Encoded
export type RejectRow = (typeof Rejects.Encoded)["rows"][number]
export type DeadLetterItem = typeof DeadLetter.Encoded
export type Service = typeof ServiceState.Encoded
export type Shutdown = typeof LastShutdown.Encoded

export interface DataRow {
  readonly rowNumber: number
  readonly data: { readonly [column: string]: unknown }
}

export interface Page<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly next: number | null
}

export type Format = "csv" | "ndjson"

/** A number as it is written: JavaScript would lose the last digits of a long one. */
class Digits {
  constructor(readonly text: string) {}
  toJSON = () => Number(this.text)
  toString = () => this.text
}

/** Browsers that pass no source show the number that they have parsed. */
const keepDigits = (_key: string, value: unknown, context?: { readonly source?: string }) =>
  typeof value === "number" && context?.source !== undefined && !Number.isSafeInteger(value)
    ? new Digits(context.source)
    : value

export const showValue = (value: unknown): string =>
  typeof value === "string"
    ? value
    : value === null || value === undefined
    ? ""
    : value instanceof Digits
    ? value.text
    : JSON.stringify(value)

export const isFinal = ({ status }: ImportItem) =>
  status === "Completed" || status === "Cancelled" || status === "Failed"

/** The message of an error response, or of a service that does not answer. */
export const messageOf = (error: unknown): string =>
  error instanceof Error && !(error instanceof TypeError) ? error.message : "the service does not answer"

const failure = (text: string, status: number): Error => {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown }
    if (typeof message === "string") return new Error(message)
  } catch {
    // A proxy may answer with something else.
  }
  return new Error(`the service answered with ${status}`)
}

export const send = async (path: string, init?: RequestInit): Promise<string> => {
  const response = await fetch(path, init)
  const text = await response.text()
  if (!response.ok) throw failure(text, response.status)
  return text
}

export const get = async <A>(path: string): Promise<A> => JSON.parse(await send(path), keepDigits) as A

const contentTypes: { readonly [F in Format]: string } = {
  csv: "text/csv",
  ndjson: "application/x-ndjson"
}

const formatOf = (fileName: string): Format => /\.(ndjson|jsonl)$/i.test(fileName) ? "ndjson" : "csv"

/** Enough for a guess, little enough for a slow connection. */
const sampleBytes = 64 * 1024

export const guessColumns = async (file: File): Promise<ColumnGuess> =>
  JSON.parse(
    await send(`/columns?truncated=${file.size > sampleBytes}`, {
      method: "POST",
      headers: { "content-type": contentTypes[formatOf(file.name)] },
      body: file.slice(0, sampleBytes)
    })
  ) as ColumnGuess

export const listImports = async () => (await get<{ readonly imports: ReadonlyArray<ImportItem> }>("/imports")).imports

export const cancelImport = (id: string) => send(`/imports/${id}`, { method: "DELETE" })

const pageRows = 50

export const listRows = (id: string, after: number) =>
  get<Page<DataRow>>(`/imports/${id}/rows?after=${after}&limit=${pageRows}`)

export const listRejects = (id: string, after: number) =>
  get<Page<RejectRow>>(`/imports/${id}/rejects?after=${after}&limit=${pageRows}`)

export const listDeadLetters = async () =>
  (await get<{ readonly deadLetters: ReadonlyArray<DeadLetterItem> }>("/dead-letters")).deadLetters

export const retryDeadLetter = (id: string, fromStart: boolean) =>
  send(`/dead-letters/${encodeURIComponent(id)}/retry?fromStart=${fromStart}`, { method: "POST" })

export const discardDeadLetter = (id: string) => send(`/dead-letters/${encodeURIComponent(id)}`, { method: "DELETE" })

export const lastShutdown = () => get<Shutdown>("/service/last-shutdown")

export interface Upload {
  readonly file: File
  readonly columns: string
  /** The same key for each attempt: a file that arrived, though its response did not, is imported once. */
  readonly key: string
  readonly onProgress: (sent: number) => void
}

/** `XMLHttpRequest`, because `fetch` does not tell how much is sent. */
export const upload = ({ columns, file, key, onProgress }: Upload): Promise<ImportItem> =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open("POST", `/imports?${new URLSearchParams({ name: file.name.slice(0, 255), columns })}`)
    request.setRequestHeader("content-type", contentTypes[formatOf(file.name)])
    request.setRequestHeader("idempotency-key", key)
    request.upload.onprogress = ({ loaded }) => onProgress(loaded)
    request.onload = () =>
      request.status === 202
        ? resolve(JSON.parse(request.responseText) as ImportItem)
        : reject(failure(request.responseText, request.status))
    request.onerror = () => reject(new Error("the upload was aborted, and nothing of it is kept"))
    request.send(file)
  })
