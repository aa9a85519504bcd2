import { DateTime, Effect, Option } from "effect"
import type { Row } from "../../../database/contract.js"
import { fromText, toJob } from "../../internal/jobRecord.js"
import { parsePosition, toPage } from "../../internal/position.js"
import { isStorableId } from "../../internal/storable.js"
import type { QueueListing, StoredJob } from "../../QueueControl.js"
import { type ListStatements, mostCounted } from "./listStatements.js"
import type { Run } from "./rows.js"

const states = { waiting: "Waiting", delayed: "Delayed", blocked: "Blocked", running: "Running", dead: "Dead" } as const

const isNumber = (key: string) => /^\d{1,18}$/.test(key)

const date = (millis: unknown) =>
  Option.map(Option.fromNullable(millis as number | null), (at) => DateTime.unsafeMake(at))

export const toStoredJob = (row: Row): StoredJob => {
  const state = states[row.state as keyof typeof states]
  return {
    ...toJob(row),
    state,
    // The key of a job that waits for others, see `dependencyMigration`.
    key: Option.filter(Option.fromNullable((row.own_key ?? row.key) as string | null), (key) => key !== ""),
    offeredAt: DateTime.unsafeMake(row.created_at as number),
    dueAt: DateTime.unsafeMake(row.due_at as number),
    run: state === "Running"
      ? Option.some({
        by: Option.fromNullable(row.claimed_by as string | null),
        since: date(row.claimed_at),
        leaseUntil: date(row.lease_until)
      })
      : Option.none(),
    error: Option.fromNullable(row.error as string | null),
    failure: fromText(row.failure),
    failedAt: date(row.failed_at)
  }
}

/** What is in one queue of the table. */
export const sqlListing = (queue: string, run: Run, { depth, lists }: ListStatements): QueueListing => ({
  list: ({ after, limit, state }) =>
    Effect.gen(function*() {
      const isKey = state === "Waiting" || state === "Delayed" ? isNumber : isStorableId
      const position = Option.getOrNull(yield* parsePosition(queue, after, isKey))
      const rows = yield* run("list", lists[state], limit + 1, position?.at ?? null, position?.key ?? null)
      return toPage(rows.map((row) => ({ job: toStoredJob(row), position: row.position as string })), limit)
    }),
  listLimits: { Waiting: Infinity, Delayed: Infinity, Blocked: Infinity, Running: Infinity, Dead: Infinity },
  depth: Effect.map(run("depth", depth), ([row]) => {
    const count = (state: keyof typeof states) => {
      const count = row?.[state] as number
      return { count, estimated: count > mostCounted }
    }
    return {
      jobs: {
        Waiting: count("waiting"),
        Delayed: count("delayed"),
        Blocked: count("blocked"),
        Running: count("running"),
        Dead: count("dead")
      },
      oldest: date(row?.oldest)
    }
  })
})
