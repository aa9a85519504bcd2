// Ends real processes in the middle of their work, more often in the long form.
import { assert, describe } from "vitest"
import { long } from "../kit/long.js"
import { databaseFolder } from "../kit/pglite.js"
import { describePostgres } from "../kit/postgres.js"
import { it, type ServiceProcess } from "../kit/service.js"
import { columns, crashes, crashRepeatedly, csv, loadedIn, rows, timeout, twoLoading, verify } from "./crashWorld.js"

const file = csv(rows)

/** How often each of the two processes is ended. */
const ends = long
  ? [{ sigterm: 5, sigkill: 3 }, { sigterm: 5, sigkill: 2 }]
  : [{ sigterm: 1, sigkill: 0 }, { sigterm: 0, sigkill: 1 }]

describe.concurrent("processes that are stopped or killed", () => {
  describe("on PGlite", () => {
    it(`${rows} rows are loaded once each, however often the process ends in the middle`, async ({ start }) => {
      const env = { DATABASE_URL: `pglite:${await databaseFolder()}` }
      const moments = crashes("PGlite", { rows, sigterm: long ? 10 : 2, sigkill: long ? 5 : 1 })
      const first = start(env)
      await first.runs()
      const { id } = await first.api.upload(file, { columns })
      const loaded = async ({ api }: ServiceProcess) => (await api.status(id)).rowsLoaded
      const { handedBack, service } = await crashRepeatedly(() => start(env), rows, moments, first, loaded)
      // In the short form every signal may arrive during the last batch, which is then completed.
      if (long) assert.isAbove(handedBack, 0)
      await service.api.completed(id, timeout)
      await verify(service.api, id, rows)
    }, timeout)
  })

  describePostgres("on PostgreSQL, two at a time", (postgres) => {
    it(
      `${rows} rows of each of two files are loaded once each, whichever process ends in the middle`,
      async ({ start }) => {
        const env = { DATABASE_URL: postgres.url }
        const { ids, services } = await twoLoading(() => start(env), file)
        const loaded = loadedIn(postgres)
        const runs = await Promise.all(services.map((service, index) => {
          const moments = crashes(`process ${index + 1}`, { rows: 2 * rows, ...ends[index]! })
          return crashRepeatedly(() => start(env), 2 * rows, moments, service, loaded)
        }))
        for (const [index, { service }] of runs.entries()) {
          await service.api.completed(ids[index]!, timeout)
          await verify(service.api, ids[index]!, rows)
        }
        assert.deepStrictEqual(
          await postgres.query(`
          SELECT count(*)::int AS rows, count(DISTINCT row_number)::int AS numbers, min(row_number), max(row_number)
          FROM import_rows GROUP BY import_id`),
          ids.map(() => ({ rows, numbers: rows, min: 1, max: rows }))
        )
        assert.deepStrictEqual(await postgres.query("SELECT * FROM import_chunks"), [])
      },
      timeout
    )
  })
})
