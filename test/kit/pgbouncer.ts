import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, beforeAll } from "vitest"
import { cannot } from "./cannot.js"
import { describePostgres, type Postgres } from "./postgres.js"
import { owner } from "./postgresServer.js"
import { Throwaway } from "./throwaway.js"

const binary = (): string | undefined =>
  [...(process.env["PATH"] ?? "").split(Path.delimiter), "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => Path.join(folder, "pgbouncer"))
    .find((path) => Fs.existsSync(path))

/** One pooler with two databases, which are the same one in each of its modes. */
const configuration = (port: number, url: URL) => {
  const parts = {
    host: url.hostname,
    port: url.port === "" ? "5432" : url.port,
    dbname: url.pathname.slice(1),
    user: decodeURIComponent(url.username),
    ...(url.password !== "" && { password: decodeURIComponent(url.password) })
  }
  const place = Object.entries(parts).map(([name, value]) => `${name}='${value}'`).join(" ")
  return `
[databases]
session = ${place} pool_mode=session
transaction = ${place} pool_mode=transaction

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
default_pool_size = 20
`
}

class ThrowawayPgBouncer extends Throwaway {
  constructor(file: string, postgres: Postgres) {
    super({
      name: "pgbouncer",
      file,
      options: (port, folder) => {
        const config = Path.join(folder, "pgbouncer.ini")
        Fs.writeFileSync(config, configuration(port, new URL(postgres.url)))
        return [config]
      },
      ready: "process up:",
      as: owner() ?? {},
      signals: { stop: "SIGTERM", kill: "SIGKILL" }
    })
  }
}

/** The URL of a database behind a pooler. Known once the server is created. */
export interface Pooler {
  readonly postgres: Postgres
  readonly url: (mode: "session" | "transaction") => string
}

/** `describe` over PgBouncer in front of PostgreSQL. */
export const describePgBouncer = (name: string, body: (pooler: Pooler) => void): void => {
  const file = binary()
  if (file === undefined) return cannot(name, "there is no PgBouncer here: install it")
  if (process.getuid?.() === 0 && owner() === undefined) return cannot(name, "PgBouncer does not run as root")
  describePostgres(name, (postgres) => {
    const pooler = new ThrowawayPgBouncer(file, postgres)
    beforeAll(() => pooler.create(), 60_000)
    afterAll(() => pooler.remove(), 60_000)
    body({ postgres, url: (mode) => `postgres://postgres@127.0.0.1:${pooler.port}/${mode}` })
  })
}
