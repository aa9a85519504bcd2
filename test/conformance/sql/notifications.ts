import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { eventually } from "../../kit/until.js"
import { hearing, type SqlCase } from "./sqlCase.js"

/** `listen` and `notify`. */
export const notifications: ReadonlyArray<SqlCase> = [
  {
    situation: "`listen`",
    behavior: "hears its channel, whatever its name, when a transaction commits; nothing that was rolled back",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const channel = `Some "channel" ${Math.random()}`
        const { heard, until } = yield* hearing(sql, sql, channel)
        const notify = (payload: string) => sql`SELECT pg_notify(${channel}, ${payload})`
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(notify("never"), Effect.fail("no"))))
        yield* sql.withTransaction(notify("committed"))
        yield* sql`SELECT pg_notify(${channel.toLowerCase()}, 'elsewhere')`
        yield* notify("last")
        yield* until("last")
        assert.deepStrictEqual(heard, ["committed", "last"])
      })
  },
  {
    situation: "`notify`",
    behavior: "notifies: in a transaction when it commits, and only then",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const channel = `notify ${Math.random()}`
        const { heard, until } = yield* hearing(sql, sql, channel)
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql.notify(channel, "never"), Effect.fail("no"))))
        yield* sql.withTransaction(sql.notify(channel, "committed"))
        yield* sql.notify(channel, "last")
        yield* until("last")
        assert.deepStrictEqual(heard, ["committed", "last"])
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "always fails",
      reason: "`NOTIFY` takes no parameters",
      test: ({ sql }) =>
        Effect.gen(function*() {
          assert.propertyVal((yield* Effect.flip(sql.notify("any", "payload"))).cause, "code", "42601")
        })
    }]
  },
  {
    situation: "two listeners on one channel, of which one stops",
    behavior: "the other hears on",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const channel = `two ${Math.random()}`
        const one = yield* hearing(sql, sql, channel)
        const other = yield* hearing(sql, sql, channel)
        yield* one.stop
        yield* sql`SELECT pg_notify(${channel}, 'still')`
        yield* other.until("still")
        assert.deepStrictEqual([one.heard, other.heard], [[], ["still"]])
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "the other hears nothing any more",
      reason: "they share a connection, and the first `UNLISTEN` ends it for both",
      test: ({ sql }) =>
        Effect.gen(function*() {
          const channel = `two ${Math.random()}`
          const one = yield* hearing(sql, sql, channel)
          const other = yield* hearing(sql, sql, channel)
          yield* one.stop
          yield* sql`SELECT pg_notify(${channel}, 'still')`
          // Heard on another connection, it would have arrived on theirs too.
          const third = yield* hearing(sql, sql, `${channel} third`)
          yield* sql`SELECT pg_notify(${`${channel} third`}, 'later')`
          yield* third.until("later")
          assert.deepStrictEqual(other.heard, [])
        })
    }]
  },
  {
    situation: "a listener whose connection is lost",
    behavior: "has another one, and hears on",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open()
        const channel = `lost ${Math.random()}`
        const { until } = yield* hearing(sql, sql, channel)
        yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE query LIKE 'LISTEN%' AND query LIKE ${`%${channel}%`}`
        const again = Effect.zipRight(sql`SELECT pg_notify(${channel}, 'again')`, Effect.sleep("10 millis"))
        yield* Effect.raceFirst(until("again"), Effect.forever(again))
      }),
    differences: [
      {
        on: "PGlite",
        behavior: "has none that could be lost",
        reason: "it listens on the one connection of this process",
        test: ({ sql }) =>
          Effect.gen(function*() {
            const rows =
              yield* sql`SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state IS NOT NULL`
            assert.deepStrictEqual(rows, [])
          })
      },
      {
        on: "PgClient.layer",
        behavior: "hears nothing any more, without an error",
        reason: "the error of the connection has no listener",
        test: ({ open, sql }) =>
          Effect.gen(function*() {
            const own = yield* open()
            const channel = `lost ${Math.random()}`
            const { heard } = yield* hearing(own, own, channel)
            const listeners = sql`SELECT pid FROM pg_stat_activity
              WHERE query LIKE 'LISTEN%' AND query LIKE ${`%${channel}%`} AND pid <> pg_backend_pid()`
            yield* sql`SELECT pg_terminate_backend(pid) FROM (${listeners}) AS listeners`
            yield* eventually("it is gone", listeners, (rows) => rows.length === 0)
            yield* own`SELECT pg_notify(${channel}, 'again')`
            const { until } = yield* hearing(sql, sql, channel)
            yield* own`SELECT pg_notify(${channel}, 'last')`
            yield* until("last")
            assert.deepStrictEqual(heard, [])
          })
      }
    ]
  }
]
