import { Redacted } from "effect"
import { Database } from "../../../dist/index.js"
import { url } from "../program.js"
import { serveSqlClient } from "./sqlClient.js"

await serveSqlClient(Database.layer({ url: Redacted.make(url), maxConnections: 1 }))
