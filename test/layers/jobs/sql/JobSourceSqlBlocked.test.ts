import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { openDatabase, type Opened } from "../../../kit/database.js"
import { databaseFolder } from "../../../kit/pglite.js"
import { source } from "./JobSourceSqlWorld.js"

/** The queues whose leases a thread renews, and how many threads were started. */
const opened = ({ database, ...rest }: Opened, renewWhileBlocked: boolean | undefined) =>
  Effect.gen(function*() {
    let threads = 0
    const thread = Effect.sync(() => {
      threads++
      return { repeat: () => Effect.succeed({ hold: () => () => undefined, limit: () => undefined }) }
    })
    const { open } = yield* source({ ...rest, database: { ...database, thread } }, { renewWhileBlocked })
    const pool = yield* open({ name: "pool", concurrency: 1 })
    const client = yield* open({ name: "client" })
    return { pool: pool.whileBlocked !== undefined, client: client.whileBlocked !== undefined, threads }
  })

describe("renewWhileBlocked of JobSourceSql", () => {
  it.scopedLive("starts a thread for the queues of pools, not for those that only offer jobs, and none by default", () =>
    Effect.gen(function*() {
      const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
      assert.deepStrictEqual(yield* opened(database, true), { pool: true, client: false, threads: 1 })
      assert.deepStrictEqual(yield* opened(database, undefined), { pool: false, client: false, threads: 0 })
    }))
})
