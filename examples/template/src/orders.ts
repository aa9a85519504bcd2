// The orders in the database.
import { SqlClient } from "@effect/sql"
import { Array, Effect } from "effect"
import { Database } from "lastcall"

export const Migrations = Database.migrations({
  "0001_create_orders": Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`CREATE TABLE orders (
      id uuid PRIMARY KEY,
      item text NOT NULL,
      placed_at timestamptz NOT NULL DEFAULT now(),
      confirmed_at timestamptz
    )`)
})

interface Order {
  readonly id: string
  readonly item: string
  readonly confirmed: boolean
}

export class Orders extends Effect.Service<Orders>()("Orders", {
  effect: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return {
      /** Inserts the order and runs `also` in one transaction. */
      place: <A, E, R>(id: string, item: string, also: Effect.Effect<A, E, R>) =>
        sql.withTransaction(Effect.zipRight(sql`INSERT INTO orders (id, item) VALUES (${id}, ${item})`, also)),
      find: (id: string) =>
        Effect.map(
          sql<Order>`SELECT id, item, confirmed_at IS NOT NULL AS confirmed FROM orders WHERE id::text = ${id}`,
          Array.head
        ),
      confirm: (id: string) => Effect.asVoid(sql`UPDATE orders SET confirmed_at = now() WHERE id = ${id}`),
      deleteOld: Effect.asVoid(sql`DELETE FROM orders WHERE placed_at < now() - interval '30 days'`)
    }
  })
}) {}
