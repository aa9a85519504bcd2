import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer, type Scope } from "effect"
import type { BudgetError } from "../../../../src/core/ShutdownConfig.js"
import { Database } from "../../../../src/layers/database/Database.js"
import { JobSource, type Service } from "../../../../src/layers/jobs/JobSource.js"
import * as JobSourceOutbox from "../../../../src/layers/jobs/outbox/JobSourceOutbox.js"
import type { Opened } from "../../../kit/database.js"

let tables = 0

/** A table that no other test uses. */
export const newTable = () => `outbox_${++tables}`

/** The outbox of one process. It polls once an hour, so only a notification wakes it. */
export const outbox = (
  { database, sql }: Opened,
  engine: Service,
  options: JobSourceOutbox.Options
): Effect.Effect<Service, BudgetError, Scope.Scope> =>
  Layer.build(JobSourceOutbox.layer({ pollInterval: "1 hour", ...options })).pipe(
    Effect.map(Context.get(JobSource)),
    Effect.provideService(JobSource, engine),
    Effect.provideService(Database, database),
    Effect.provideService(SqlClient.SqlClient, sql)
  )
