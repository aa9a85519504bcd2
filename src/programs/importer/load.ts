/**
 * The worker: loads one import, from its last checkpoint on.
 */
import { Effect, Option, Schedule } from "effect"
import type { JobContext } from "../../layers/jobs/JobContext.js"
import { type Cursor, Importer, type ImportJob } from "./Domain.js"
import { Broken } from "./parser/recordReader.js"
import { type Row, rowReader } from "./parser/rows.js"
import { Loads } from "./store/Loads.js"

/** Small enough that a checkpoint delays heartbeats and requests only briefly, also on PGlite with its one connection. */
const maxBatchRows = 1000
const maxBatchBytes = 1024 * 1024

const excerptBytes = 200

const makeBatch = (from: Cursor) => {
  const rows: Array<readonly [rowNumber: number, json: string]> = []
  const rejects: Array<{ readonly row: number; readonly reason: string; readonly excerpt: string }> = []
  let cursor = from
  let bytes = 0
  return {
    rows,
    rejects,
    cursor: () => cursor,
    isFull: () => rows.length + rejects.length >= maxBatchRows || bytes >= maxBatchBytes,
    add: ({ end, raw, value }: Row) => {
      const row = cursor.row + 1
      if (value instanceof Broken) {
        rejects.push({ row, reason: value.reason, excerpt: raw.toString("utf8", 0, excerptBytes).trimEnd() })
      } else {
        rows.push([row, value])
        bytes += value.length
      }
      cursor = { row, offset: end }
    }
  }
}

/** Commits each batch with its cursor, so that each row is loaded once, whatever ends the worker. */
const load = ({ importId }: ImportJob, job: JobContext<Cursor>) =>
  Effect.gen(function*() {
    const loads = yield* Loads
    const { firstRowAt, layout } = yield* loads.start(importId)
    const from = Option.getOrElse(job.cursor, () => ({ row: 0, offset: firstRowAt }))
    const rows = rowReader(layout, from.offset)
    let batch = makeBatch(from)
    let offset = from.offset
    while (true) {
      const bytes = yield* loads.bytes(importId, offset)
      for (const row of Option.match(bytes, { onNone: rows.end, onSome: rows.push })) {
        batch.add(row)
        if (batch.isFull()) {
          yield* job.checkpoint(batch.cursor(), loads.record(importId, batch))
          batch = makeBatch(batch.cursor())
        }
      }
      if (Option.isNone(bytes)) break
      offset += bytes.value.length
    }
    yield* job.complete(loads.complete(importId, batch))
  }).pipe(
    Effect.catchTag("Stopped", () => job.complete(Effect.void)),
    Effect.annotateLogs({ import: importId })
  )

/**
 * 24 retries: each process that dies spends one, but a large import progresses in each of them. A file that ends every process that loads
 * it still becomes a dead letter.
 */
const retry = Schedule.exponential("1 second").pipe(
  Schedule.union(Schedule.spaced("30 seconds")),
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(24))
)

export const workers = (concurrency: number) => Importer.layer({ concurrency, process: load, retry })
