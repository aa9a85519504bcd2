/**
 * The tables of the importer. Databases exist in which these migrations have run: never change one, add another.
 */
import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE imports (
      id uuid PRIMARY KEY,
      name text NOT NULL,
      format text NOT NULL,
      columns text NOT NULL,
      status text NOT NULL,
      idempotency_key text UNIQUE,
      fingerprint text,
      names jsonb,
      first_row_at int,
      rows_total int,
      rows_loaded int NOT NULL DEFAULT 0,
      rows_rejected int NOT NULL DEFAULT 0,
      failure text,
      created_at timestamptz NOT NULL DEFAULT now(),
      completed_at timestamptz,
      heartbeat_at timestamptz NOT NULL DEFAULT now()
    )`
  yield* sql`CREATE INDEX imports_created_at ON imports (created_at DESC, id)`
  yield* sql`
    CREATE TABLE import_chunks (
      import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
      starts_at int NOT NULL,
      bytes bytea NOT NULL,
      PRIMARY KEY (import_id, starts_at)
    )`
  // Chunks are read once and deleted: compression would only cost time.
  yield* sql`ALTER TABLE import_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL`
  yield* sql`
    CREATE TABLE import_rows (
      import_id uuid NOT NULL,
      row_number int NOT NULL,
      data jsonb NOT NULL,
      PRIMARY KEY (import_id, row_number)
    )`
  yield* sql`
    CREATE TABLE import_rejects (
      import_id uuid NOT NULL,
      row_number int NOT NULL,
      reason text NOT NULL,
      excerpt text NOT NULL,
      PRIMARY KEY (import_id, row_number)
    )`
})

export const migrations = { "0001_imports": tables }
