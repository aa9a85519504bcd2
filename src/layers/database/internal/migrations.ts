/**
 * The migrator of `@effect/sql`, with what it lacks: it looks for its table and then creates it, so one of two processes that start at the same
 * time fails; it dies where a migration fails; it leaves out a migration whose name it cannot read; and it takes one for run whose number another program
 * has recorded.
 */
import type { Migrator, SqlClient, SqlError } from "@effect/sql"
import { Effect, Option, Predicate, Record } from "effect"
import { acquiring } from "../../../core/internal/acquiring.js"
import { executeOwn, own, type Row, SqlClientTag } from "../contract.js"
import { migratorPeers } from "./peers.js"

/**
 * Migrations by name, `0001_create_rows`: the number orders them, and each effect runs its statements through `SqlClient`.
 *
 * @since 0.1.0
 * @category models
 */
export type Migrations = Readonly<Record<string, Effect.Effect<unknown, unknown, SqlClient.SqlClient>>>

const namePattern = /^(\d+)_(.+)$/

/** The key of the advisory lock: any number that no other program is likely to use. */
const advisoryKey = 7_809_655_113

const isMigrationError = (defect: unknown): defect is Migrator.MigrationError =>
  Predicate.isTagged(defect, "MigrationError")

/** Runs the new migrations: in one transaction, under the migrator's lock on its table, which is created under a lock of its own first. */
export const migrate = (
  migrations: Migrations,
  table: string
): Effect.Effect<void, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const { Migrator } = (yield* migratorPeers)["@effect/sql"]
    const misnamed = Object.keys(migrations).filter((name) => !namePattern.test(name))
    if (misnamed.length > 0) {
      return yield* new Migrator.MigrationError({
        reason: "bad-state",
        message: `Migrations are named like 0001_create_table, but found ${misnamed.join(", ")}`
      })
    }
    const sql = yield* SqlClientTag
    const recorded = yield* sql.withTransaction(
      Effect.zipRight(
        executeOwn(sql, "SELECT pg_advisory_xact_lock($1)", [advisoryKey]),
        sql`${sql.literal(own(""))}CREATE TABLE IF NOT EXISTS ${sql(table)} (
        migration_id integer PRIMARY KEY,
        created_at timestamp with time zone NOT NULL DEFAULT now(),
        name text NOT NULL
      )`
      ).pipe(
        Effect.zipRight(sql<Row>`${sql.literal(own(""))}SELECT migration_id, name FROM ${sql(table)}`.withoutTransform)
      )
    )
    const names = new Map(recorded.map(({ migration_id, name }) => [migration_id as number, name as string]))
    for (const migration of Object.keys(migrations)) {
      const [, digits, name] = namePattern.exec(migration)!
      const number = Number(digits)
      const other = names.get(number)
      if (other !== undefined && other !== name) {
        return yield* new Migrator.MigrationError({
          reason: "bad-state",
          message: `Migration ${number} is ${name}, but the table ${table} has recorded ${number} as ${other}: ` +
            "another program has run it, or it was renamed. Give each program a table of its own."
        })
      }
    }
    yield* Migrator.make({})({ loader: Migrator.fromRecord(Record.map(migrations, Effect.asVoid)), table })
  }).pipe(
    // The migrator dies when a migration fails; a start fails with it.
    Effect.catchSomeDefect((defect) => isMigrationError(defect) ? Option.some(Effect.fail(defect)) : Option.none()),
    // A start that waits for them says so.
    Effect.locally(acquiring, Option.some("migrations"))
  )
