import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"
import { adminQuery, type Postgres, type PostgresServer, throwaway } from "./postgresServer.js"

export type { Postgres, PostgresServer }

/** A server that the tests did not start. Each file gets a database of its own. */
class ExistingServer implements Postgres {
  private readonly database = `lastcall_${randomUUID().replaceAll("-", "")}`

  constructor(private readonly server: string) {}

  get url() {
    const url = new URL(this.server)
    url.pathname = `/${this.database}`
    return url.toString()
  }

  query = (text: string) => adminQuery(this.url, text)
  create = () => adminQuery(this.server, `CREATE DATABASE ${this.database}`)
  remove = () => adminQuery(this.server, `DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`)
}

const withServer = <S extends Postgres & { create(): Promise<unknown>; remove(): Promise<unknown> }>(
  name: string,
  server: S,
  body: (postgres: S) => void
) =>
  describe(name, () => {
    beforeAll(() => server.create(), 60_000)
    afterAll(() => server.remove(), 60_000)
    body(server)
  })

/**
 * `describe` over PostgreSQL: the server at `TEST_POSTGRES_URL` where that is set, or else one that is started for
 * this file and removed after it.
 */
export const describePostgres = (name: string, body: (postgres: Postgres) => void): void => {
  const given = process.env["TEST_POSTGRES_URL"]
  if (given !== undefined && given !== "") withServer(name, new ExistingServer(given), body)
  else describePostgresServer(name, body)
}

/** `describe` over a server of the file's own, which can be stopped, killed and frozen. */
export const describePostgresServer = (name: string, body: (server: PostgresServer) => void): void => {
  const server = throwaway()
  if (typeof server === "string") cannot(name, server)
  else withServer(name, server, body)
}
