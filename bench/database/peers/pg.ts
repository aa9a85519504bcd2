import pg from "pg"
import { count, lookUp, serve, url } from "../program.js"

const pool = new pg.Pool({ connectionString: url, max: 1 })

await serve({
  statement: async (times) => {
    for (let n = 0; n < times; n++) await pool.query(lookUp, [n % 1000])
  },
  transaction: async (times) => {
    for (let n = 0; n < times; n++) {
      const client = await pool.connect()
      await client.query("BEGIN")
      await client.query(count, [n % 1000])
      await client.query("COMMIT")
      client.release()
    }
  }
})
