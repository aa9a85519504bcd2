import { Migrator, SqlClient, type SqlError } from "@effect/sql"
import { Effect, Option, Record } from "effect"

export type Migrations = Readonly<Record<string, Effect.Effect<unknown, unknown, SqlClient.SqlClient>>>

/** Any number that others are unlikely to lock: "lastcall" read as one. */
const advisoryKey = 7_809_655_113

const failed = (defect: unknown): defect is Migrator.MigrationError => defect instanceof Migrator.MigrationError

/**
 * The migrator of `@effect/sql` runs what is new in one transaction, under a lock on its table. What it leaves to us
 * is the table itself, which several processes at a time would all try to create.
 */
export const migrate = (
  migrations: Migrations,
  table: string
): Effect.Effect<void, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const nonsense = Object.keys(migrations).filter((name) => !/^\d+_.+$/.test(name))
    if (nonsense.length > 0) {
      return yield* new Migrator.MigrationError({
        reason: "bad-state",
        message: `Migrations are named like 0001_create_table, but found ${nonsense.join(", ")}`
      })
    }
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.zipRight(
      sql`SELECT pg_advisory_xact_lock(${advisoryKey})`,
      sql`CREATE TABLE IF NOT EXISTS ${sql(table)} (
        migration_id integer PRIMARY KEY,
        created_at timestamp with time zone NOT NULL DEFAULT now(),
        name text NOT NULL
      )`
    ))
    yield* Migrator.make({})({ loader: Migrator.fromRecord(Record.map(migrations, Effect.asVoid)), table })
  }).pipe(
    // A migration that fails is a defect to the migrator, and a start that fails to us.
    Effect.catchSomeDefect((defect) => failed(defect) ? Option.some(Effect.fail(defect)) : Option.none())
  )
