import { PgClient } from "@effect/sql-pg"
import { Redacted } from "effect"
import { url } from "../program.js"
import { serveSqlClient } from "./sqlClient.js"

await serveSqlClient(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }))
