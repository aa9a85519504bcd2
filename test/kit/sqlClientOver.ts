import type { Reactivity } from "@effect/experimental"
import * as Sql from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Duration, Stream } from "effect"
import { TransactionTag } from "../../src/layers/database/contract.js"
import type { ConnectionPool } from "../../src/layers/database/internal/connectionPool.js"
import { makeSqlClient } from "../../src/layers/database/internal/sqlClient.js"

/** The client of `Database` over a pool of a test. */
export const sqlClientOver = (pool: ConnectionPool, reactivity: Reactivity.Reactivity.Service): PgClient.PgClient =>
  makeSqlClient({
    peers: { "@effect/sql": Sql, "@effect/sql-pg": PgClient },
    reactivity,
    tag: TransactionTag,
    pool,
    begin: ["BEGIN"],
    config: {},
    listen: () => Stream.empty,
    portals: false,
    statementTimeout: Duration.infinity
  })
