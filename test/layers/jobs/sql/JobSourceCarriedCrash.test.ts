import { type SqlClient, SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"
import type { CarrierQueue, Service } from "../../../../src/layers/jobs/JobCarrier.js"
import { type Claim, JobSourceError } from "../../../../src/layers/jobs/JobSource.js"
import { aroundStatements } from "../../../kit/aroundStatements.js"
import { openDatabase, type Opened } from "../../../kit/database.js"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { databaseFolder } from "../../../kit/pglite.js"
import { take } from "../JobSourceWorld.js"
import { carried, newTable } from "./JobSourceCarriedWorld.js"

const ack = { _tag: "Ack" } as const

const scope = Effect.runSync(Scope.make())
let opened: Opened
beforeAll(async () => {
  opened = await Effect.runPromise(Scope.extend(openDatabase(`pglite:${await databaseFolder()}`), scope))
  await Effect.runPromise(opened.sql`CREATE TABLE written (test text, line text)`)
}, 60_000)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

/** What a process does, by a part of its statement or by the operation of the carrier. */
const steps = {
  "the relay's take": "lastcall.",
  "the offer to the carrier": "carrier.offer",
  "the receive": "carrier.receive",
  "the claim in the table": "nextval(",
  "the acknowledgement to the carrier": "carrier.ack",
  "the hand-back": "SET state = 'waiting', lease_until = NULL, offer_at = '-infinity'",
  "the checkpoint": "SET cursor =",
  "the retry": "attempt = attempt + 1, error = $4",
  "the dead letter": "state = 'dead', lease_until = NULL",
  "the writes": "INSERT INTO written"
}

/** A process that is killed before or after one of its steps: nothing that it does after that happens. */
const mortalProcess = (step: string, when: "before" | "after") => {
  let armed = false
  let dead = false
  const run = <A, E>(name: string, effect: Effect.Effect<A, E>, death: E): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      if (dead) return Effect.fail(death)
      if (!armed || !name.includes(step)) return effect
      if (when === "after") return Effect.zipRight(effect, Effect.suspend(() => (dead = true) && Effect.fail(death)))
      dead = true
      return Effect.fail(death)
    })
  const sqlOf = (sql: SqlClient.SqlClient): SqlClient.SqlClient =>
    aroundStatements(
      sql,
      (statement, text) => run(text, statement, new SqlError.SqlError({ cause: new Error("killed") }))
    )
  const carrierOf = (carrier: Service): Service => ({
    ...carrier,
    open: (options) =>
      Effect.map(carrier.open(options), (queue): CarrierQueue => {
        const death = new JobSourceError({ operation: "carrier", queue: options.name, cause: new Error("killed") })
        return {
          ...queue,
          offer: (...args) => run("carrier.offer", queue.offer(...args), death),
          receive: (limit) => run("carrier.receive", queue.receive(limit), death),
          ack: (deliveries) => run("carrier.ack", queue.ack(deliveries), death)
        }
      })
  })
  return { arm: Effect.sync(() => void (armed = true)), sqlOf, carrierOf }
}

const ids = ["complete", "hand back", "checkpoint", "retry", "dead letter", "left"]

/** A process offers and runs jobs until it is killed, another one runs the rest. Returns the lines that were written. */
const crash = (step: string, when: "before" | "after") =>
  Effect.gen(function*() {
    const table = newTable()
    const carrier = makeMemoryCarrier("200 millis")
    const { database, sql } = opened
    const options = {
      table,
      lease: "500 millis",
      expireEvery: "20 millis",
      pollInterval: "50 millis",
      offerAgainAfter: "200 millis"
    } as const
    const write = (client: SqlClient.SqlClient, id: string) =>
      client.unsafe("INSERT INTO written VALUES ($1, $2)", [table, id]).raw

    const life = yield* Scope.make()
    const process = mortalProcess(step, when)
    const mortalSql = process.sqlOf(sql)
    const mortal = yield* carried(
      { ...opened, sql: mortalSql, database: { ...database, reserved: process.sqlOf(database.reserved) } },
      process.carrierOf(carrier),
      options
    ).pipe(Effect.flatMap(({ open }) => open({ name: "jobs" })), Scope.extend(life))
    const settle = (claim: Claim) => {
      switch (claim.id) {
        case "complete":
          return mortal.transact(claim, write(mortalSql, claim.id), ack)
        case "hand back":
          return mortal.handBack([claim])
        case "checkpoint":
          return mortal.transact(claim, Effect.void, { _tag: "Checkpoint", cursor: 1, handBack: true })
        case "retry":
          return mortal.retry(claim, { delay: Duration.zero, error: "no" })
        case "dead letter":
          return mortal.deadLetter(claim, "no")
        default:
          return Effect.void
      }
    }
    yield* process.arm
    yield* mortal.offer(ids, { ids, keepIdFor: 0 })
    const settled = new Set<string>()
    yield* take(mortal).pipe(
      Effect.tap((claim) => settled.has(claim.id) ? Effect.void : settle(claim)),
      Effect.tap(({ id }) => Effect.sync(() => settled.add(id))),
      Effect.forever,
      Effect.exit
    )
    yield* Scope.close(life, Exit.void)

    const other = yield* Effect.flatMap(carried(opened, carrier, options), ({ open }) => open({ name: "jobs" }))
    const isDone = Effect.map(
      sql`SELECT 1 FROM ${sql(table)} WHERE state <> 'dead'`,
      (rows) => rows.length === 0
    )
    while (!(yield* isDone)) {
      // On a busy machine its lease may run out, too.
      for (const claim of yield* other.claim(9)) {
        yield* Effect.catchTag(other.transact(claim, write(sql, claim.id), ack), "LeaseLost", () => Effect.void)
      }
      yield* Effect.raceFirst(other.wait, Effect.sleep("20 millis"))
    }
    for (const { id } of yield* other.deadLetters.list(9)) yield* write(sql, id)
    const lines = yield* sql<{ line: string }>`SELECT line FROM written WHERE test = ${table} ORDER BY line`
    return lines.map(({ line }) => line)
  }).pipe(Effect.scoped)

describe("A process over a ledger with a carrier that is killed", () => {
  for (const [name, step] of Object.entries(steps)) {
    for (const when of ["before", "after"] as const) {
      it.live(`${when} ${name}: no job is lost, and none is written twice`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* crash(step, when), [...ids].sort())
        }))
    }
  }
})
