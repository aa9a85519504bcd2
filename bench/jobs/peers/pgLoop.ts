/** What the database itself can do: claims, rows and acknowledgements of a batch in a statement each. */
import pg from "pg"
import { concurrency, jobAcknowledged, jobStarted, NAME, offeredJobs, printLine, url } from "../program.js"

const client = new pg.Client(url)
await client.connect()
await client.query(`CREATE TABLE ${NAME} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data jsonb, running boolean DEFAULT false);
  CREATE INDEX ON ${NAME} (id) WHERE NOT running`)
await client.query(`INSERT INTO ${NAME} (data) SELECT '{"long":false}' FROM generate_series(1, $1)`, [offeredJobs.length])
const claim = {
  name: "claim",
  text: `UPDATE ${NAME} SET running = true WHERE id = ANY(ARRAY(
    SELECT id FROM ${NAME} WHERE NOT running ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING id::text, data`,
  values: [concurrency]
}
printLine("ready")

for (;;) {
  const { rows } = await client.query<{ id: string }>(claim)
  if (rows.length === 0) break
  for (const job of offeredJobs.slice(0, rows.length)) jobStarted(job, 1)
  const ids = rows.map(({ id }) => id)
  await client.query("BEGIN")
  await client.query({ name: "write", text: "INSERT INTO results SELECT unnest($1::text[])", values: [ids] })
  await client.query({ name: "ack", text: `DELETE FROM ${NAME} WHERE id = ANY($1::bigint[])`, values: [ids] })
  await client.query("COMMIT")
  for (const _ of rows) jobAcknowledged()
}
