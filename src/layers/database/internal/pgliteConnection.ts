/**
 * Statements on PGlite, with the values of `pg`: PGlite itself reads a `bigint` as a number and, outside of UTC, not the `Date` that it has
 * written; and it never returns from `COPY FROM STDIN`.
 */
import type { PGlite, Results } from "@electric-sql/pglite"
import { Effect, Exit } from "effect"
import type { CustomTypesConfig } from "pg"
import type { DriverConnection, QueryResult, RowMode } from "./driverConnection.js"
import type { Errors } from "./errors.js"
import type { Pg } from "./peers.js"

/** Parses values as `pg` does, so that code sees no difference between the two databases: a bigint is a string. */
const parsersOf = (types: CustomTypesConfig) => {
  const parserOf = types.getTypeParser as (oid: number) => (text: string) => unknown
  return Object.fromEntries(
    Array.from({ length: 5000 }, (_, oid) => [oid, parserOf(oid)] as const)
      .filter(([, parse]) => parse !== parserOf(0))
  )
}

/** Writes values as `pg` does: a `Date` in local time, which is how it is read. */
const writerOf = (pg: Pg) =>
  (pg as unknown as { readonly utils: { readonly prepareValue: (value: unknown) => string | Buffer | null } }).utils
    .prepareValue

const serializers = {
  /** `bytea`: PGlite itself takes no text. */
  17: (value: string | Buffer) => typeof value === "string" ? value : `\\x${value.toString("hex")}`
}

/** PGlite loops on the event loop's thread for ever: it waits for a client that sends rows. */
const copiesFromClient = (text: string) => /(?:^|;)(?:\s|--.*\n|\/\*[^]*?\*\/)*copy\s[^;']*\sfrom\s+stdin\b/i.test(text)

/** Connects to the embedded database, which has one connection and no network: a statement is answered, or the process has ended. */
export const connectPglite = (
  db: Pick<PGlite, "exec" | "query">,
  pg: Pg,
  types: CustomTypesConfig,
  errors: Errors
) => {
  const parsers = parsersOf(types)
  const written = writerOf(pg)
  const run = async (text: string, values: ReadonlyArray<unknown>, rowMode: RowMode) => {
    const options = { rowMode, parsers, serializers }
    if (copiesFromClient(text)) throw new Error("COPY FROM STDIN has no rows to read: insert them instead")
    if (values.length > 0) return db.query(text, values.map(written), options)
    const results = await db.exec(text, options)
    return (results.length === 1 ? results[0] as Results : results) as QueryResult
  }
  let failed = false
  const connection: DriverConnection = {
    send: (text, values, rowMode, done) =>
      void run(text, values, rowMode).then(
        (result) => done(Exit.succeed(result)),
        (error: unknown) => {
          failed = true
          done(Exit.fail(errors.failed(error)))
        }
      ),
    cancel: Effect.void,
    destroy: () => undefined,
    giveBack: () => undefined
  }
  return (done: (exit: Exit.Exit<DriverConnection>) => void) => {
    const ready = () => done(Exit.succeed(connection))
    if (!failed) return ready()
    // A text of several statements that failed may have left a transaction open.
    failed = false
    void db.exec("ROLLBACK").then(ready, ready)
  }
}
