import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import pg from "pg"
import { type ServerControls, Throwaway } from "./throwaway.js"

/** A database on a PostgreSQL server. */
export interface Postgres {
  /** The URL of the database. Known once the server is created. */
  readonly url: string
  /** Runs a statement on a connection of its own. */
  readonly query: (text: string) => Promise<ReadonlyArray<Record<string, unknown>>>
}

export interface PostgresServer extends Postgres, ServerControls {}

const binaries = ["initdb", "postgres"]

/** The folder of PostgreSQL's binaries: where Debian puts them, or on the path. */
const home = (): string | undefined => {
  const debian = "/usr/lib/postgresql"
  const versions = Fs.existsSync(debian) ? Fs.readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  return [
    ...versions.map((version) => Path.join(debian, version, "bin")),
    ...(process.env["PATH"] ?? "").split(Path.delimiter)
  ].find((folder) => binaries.every((binary) => Fs.existsSync(Path.join(folder, binary))))
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** The user to run PostgreSQL as, because it refuses to run as root. */
export const owner = (): Owner | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const ids = ["postgres", "nobody"].map((user) => spawnSync("id", [user], { encoding: "utf8" }).stdout)
  const match = ids.map((id) => /uid=(\d+).* gid=(\d+)/.exec(id)).find((match) => match !== null)
  return match === undefined ? undefined : { uid: Number(match![1]), gid: Number(match![2]) }
}

export const adminQuery = async (url: string, text: string) => {
  const client = new pg.Client(url)
  // A connection that breaks fails the query as well.
  client.on("error", () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows as ReadonlyArray<Record<string, unknown>>
  } finally {
    await client.end()
  }
}

const run = (command: string, args: ReadonlyArray<string>, as: Partial<Owner> = {}) => {
  const { error, status, stderr } = spawnSync(command, args, { ...as, cwd: Os.tmpdir(), encoding: "utf8" })
  if (status !== 0) throw new Error(`${command}: ${error ?? stderr}`)
}

/** The folder of an empty cluster, made once for this installation on this machine: a copy is much cheaper than initdb. */
const template = (bin: string): string => {
  const { mtimeMs } = Fs.statSync(Path.join(bin, "postgres"))
  const key = createHash("sha256").update(`${bin} ${mtimeMs} ${JSON.stringify(owner())}`).digest("hex").slice(0, 12)
  const folder = Path.join(Os.tmpdir(), `lastcall-postgres-template-${Os.userInfo().uid}-${key}`)
  if (Fs.existsSync(folder)) return folder
  const draft = Fs.mkdtempSync(`${folder}-draft-`)
  const as = owner()
  if (as !== undefined) Fs.chownSync(draft, as.uid, as.gid)
  const options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync"]
  run(Path.join(bin, "initdb"), ["-D", draft, ...options], as)
  try {
    Fs.renameSync(draft, folder)
  } catch {
    // Another process has made it meanwhile.
    Fs.rmSync(draft, { recursive: true })
  }
  return folder
}

class ThrowawayPostgres extends Throwaway implements PostgresServer {
  constructor(private readonly bin: string, more: ReadonlyArray<string>) {
    const settings = [
      "listen_addresses=127.0.0.1",
      "unix_socket_directories=",
      "fsync=off",
      "shared_buffers=32MB",
      "log_min_messages=log",
      ...more
    ]
    super({
      name: "postgres",
      file: Path.join(bin, "postgres"),
      options: (port, folder) => ["-D", folder, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])],
      ready: "ready to accept connections",
      as: owner() ?? {},
      signals: { stop: "SIGINT", kill: "SIGQUIT" }
    })
  }

  get url() {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  query = (text: string) => adminQuery(this.url, text)

  protected override prepare() {
    run("cp", ["-a", `${template(this.bin)}/.`, this.folder])
  }

  /** The postmaster and its children. */
  protected override family(pid: number) {
    const { stdout } = spawnSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" })
    return [pid, ...stdout.split("\n").map(Number).filter((child) => child > 0)]
  }
}

/** A server that the caller creates and removes, or the reason why it cannot run on this machine. It flushes nothing, unless `settings` say so. */
export const throwaway = (settings: ReadonlyArray<string> = []): ThrowawayPostgres | string => {
  const bin = home()
  if (bin === undefined) return "there is no PostgreSQL here: install it, or set TEST_POSTGRES_URL"
  if (process.getuid?.() === 0 && owner() === undefined) return "PostgreSQL does not run as root"
  return new ThrowawayPostgres(bin, settings)
}
