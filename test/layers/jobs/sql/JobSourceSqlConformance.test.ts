import { Effect } from "effect"
import { jobSourceConformance } from "../../../conformance/jobSource.js"
import { type Databases, describeEngines, describeOwnClients, source } from "./JobSourceSqlWorld.js"

let tables = 0

const conformance = (databases: Databases) =>
  jobSourceConformance("the source in the database", {
    make: (world) =>
      Effect.gen(function*() {
        const [first, second] = yield* databases
        const options = { lease: "1 second", expireEvery: "100 millis", renewWhileBlocked: true, ...world } as const
        const { sql } = first
        const table = sql(`written_${++tables}`)
        yield* sql`CREATE TABLE ${table} (number serial, line text)`
        return {
          sources: [yield* source(first, options), yield* source(second, options)],
          write: (line) => Effect.asVoid(sql`INSERT INTO ${table} (line) VALUES (${line})`),
          written: Effect.map(
            sql<{ line: string }>`SELECT line FROM ${table} ORDER BY number`,
            (rows) => rows.map(({ line }) => line)
          ),
          transaction: sql.withTransaction
        }
      }),
    lease: "1 second",
    passTime: Effect.sleep,
    live: true,
    transactional: true
  })

describeEngines("JobSourceSql", conformance)
describeOwnClients("JobSourceSql", conformance)
