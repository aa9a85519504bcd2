import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { ack, take } from "../JobSourceWorld.js"
import { carried } from "./JobSourceCarriedWorld.js"
import { describeEngines } from "./JobSourceSqlWorld.js"

/** The table of `JobSourceOutbox`, as its last version left it. */
const outboxTable = `CREATE TABLE lastcall_outbox (
  queue text NOT NULL,
  id text NOT NULL,
  number bigint GENERATED ALWAYS AS IDENTITY,
  payload jsonb NOT NULL,
  cursor jsonb,
  state text NOT NULL DEFAULT 'New',
  claim bigint NOT NULL DEFAULT 0,
  attempt int NOT NULL DEFAULT 0,
  offered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  offer_at timestamptz NOT NULL,
  failed_at timestamptz,
  error text,
  keep_id_for interval,
  id_free_at timestamptz,
  moved boolean NOT NULL DEFAULT false,
  PRIMARY KEY (queue, id))`

const jobs = `INSERT INTO lastcall_outbox
    (queue, id, payload, cursor, state, claim, attempt, offered_at, offer_at, failed_at, error, keep_id_for, id_free_at, moved)
  SELECT 'jobs', id, to_jsonb('payload of ' || id), cursor::jsonb, state, claim, attempt,
    now() - interval '1 hour' + nth * interval '1 second', now() + at::interval,
    CASE WHEN state = 'Dead' THEN timestamptz '2026-01-02 03:04:05Z' END, error, keep::interval, now() + free::interval, moved
  FROM (VALUES
    (1, 'waiting', NULL, 'New', 0, 0, '10 seconds', NULL, NULL, NULL, true),
    (2, 'not moved', NULL, 'New', 0, 0, '-1 second', NULL, NULL, NULL, false),
    (3, 'delayed', NULL, 'New', 0, 0, '1 hour', NULL, '5 minutes', NULL, false),
    (4, 'running', '7', 'Held', 41, 2, '10 seconds', NULL, NULL, NULL, true),
    (5, 'handed back', '8', 'HandedBack', 42, 1, '10 seconds', NULL, NULL, NULL, true),
    (6, 'failed', NULL, 'Failed', 43, 1, '10 seconds', 'bad luck', NULL, NULL, true),
    (7, 'dead', '9', 'Dead', 44, 3, 'infinity', 'no', NULL, NULL, true),
    (8, 'done', NULL, 'Done', 45, 1, 'infinity', NULL, '5 minutes', '4 minutes', true)
  ) AS job (nth, id, cursor, state, claim, attempt, at, error, keep, free, moved)`

describeEngines("The jobs of an outbox", (databases) => {
  it.scopedLive("are moved to the table of jobs, whatever their state, and so are those that are still offered there", () =>
    Effect.gen(function*() {
      const [opened] = yield* databases
      const { sql } = opened
      yield* sql.unsafe(outboxTable)
      yield* sql.unsafe(jobs.replaceAll("'infinity'", "'100 years'"))
      const { open } = yield* carried(opened, makeMemoryCarrier("1 hour"), { lease: "1 hour" })
      const queue = yield* open({ name: "jobs" })
      assert.deepStrictEqual(yield* sql`SELECT id FROM lastcall_outbox`, [])

      assert.deepStrictEqual(yield* queue.deadLetters.list(9), [{
        id: "dead",
        payload: "payload of dead",
        attempt: 3,
        cursor: Option.some(9),
        error: "no",
        failure: Option.none(),
        failedAt: DateTime.unsafeMake("2026-01-02T03:04:05Z")
      }])
      assert.strictEqual(yield* queue.size, 6)
      yield* queue.offer(["again", "again", "again"], { ids: ["done", "delayed", "running"] })
      const claims = yield* Effect.replicateEffect(take(queue), 5)
      assert.deepStrictEqual(
        claims.map(({ attempt, cursor, id, payload }) => [id, payload, attempt, Option.getOrNull(cursor)]).sort(),
        [
          ["failed", "payload of failed", 2, null],
          ["handed back", "payload of handed back", 1, 8],
          ["not moved", "payload of not moved", 1, null],
          ["running", "payload of running", 2, 7],
          ["waiting", "payload of waiting", 1, null]
        ]
      )
      yield* Effect.forEach(claims, (claim) => queue.transact(claim, Effect.void, ack))
      assert.strictEqual(yield* queue.size, 1)

      yield* sql`INSERT INTO lastcall_outbox (queue, id, payload, offer_at, keep_id_for)
        VALUES ('jobs', 'offered by an old process', '1', clock_timestamp(), interval '5 minutes')`
      assert.deepInclude(yield* take(queue), { id: "offered by an old process", payload: 1, attempt: 1 })
    }))
})
