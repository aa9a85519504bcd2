// The servers of a round, into which faults are injected, and their URLs for the service.
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { natsServer, ThrowawayNats } from "../kit/natsServer.js"
import { template } from "../kit/pglite.js"
import { throwaway } from "../kit/postgresServer.js"
import { hasRabbit, ThrowawayRabbit } from "../kit/rabbitServer.js"
import { hasRedis, ThrowawayRedis } from "../kit/redisServer.js"
import type { ServerControls } from "../kit/throwaway.js"
import { createTables } from "./databases.js"
import type { Engine, Target } from "./schedule.js"

export interface Server extends Omit<ServerControls, "port"> {
  /** Kills the server and starts it again without its data. */
  readonly wipe?: () => Promise<void>
}

interface CarrierServer extends Server {
  readonly url: string
  readonly wipe: () => Promise<void>
  readonly create: () => Promise<void>
  readonly remove: () => Promise<void>
}

export interface Servers {
  readonly create: () => Promise<void>
  readonly byTarget: Partial<Record<Target, Server>>
  /** Creates empty databases for a round. Resolves to the environment of its service. */
  readonly emptyDatabases: (folder: string, round: number) => Promise<Record<string, string>>
  readonly remove: () => Promise<void>
}

const postgres = (more: () => Promise<Record<string, string>> = async () => ({})): Servers | string => {
  const server = throwaway()
  if (typeof server === "string") return server
  const url = (database: string) => Object.assign(new URL(server.url), { pathname: `/${database}` }).toString()
  return {
    create: async () => {
      await server.create()
      await server.query("CREATE DATABASE prepared")
      await createTables({ DATABASE_URL: url("prepared"), ...await more() })
    },
    byTarget: { database: server },
    emptyDatabases: async (_, round) => {
      if (round > 1) await server.query(`DROP DATABASE IF EXISTS round_${round - 1} WITH (FORCE)`)
      await server.query(`CREATE DATABASE round_${round} TEMPLATE prepared`)
      return { DATABASE_URL: url(`round_${round}`), ...await more() }
    },
    remove: () => server.remove()
  }
}

/** A server as the carrier, and PostgreSQL for the jobs and what they write. */
const carried = (carrier: CarrierServer): Servers | string => {
  const database = postgres(async () => {
    await carrier.wipe()
    return { JOBS_URL: carrier.url }
  })
  if (typeof database === "string") return database
  return {
    ...database,
    create: async () => {
      await carrier.create()
      await database.create()
    },
    byTarget: { ...database.byTarget, carrier },
    remove: async () => {
      await carrier.remove()
      await database.remove()
    }
  }
}

const pglite = (): Servers => {
  let prepared = ""
  const url = (folder: string) => ({ DATABASE_URL: `pglite:${folder}` })
  return {
    create: async () => {
      prepared = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "lastcall-chaos-")), "data")
      Fs.cpSync(await template(), prepared, { recursive: true })
      await createTables(url(prepared))
    },
    byTarget: {},
    emptyDatabases: async (folder) => {
      const data = Path.join(folder, "data")
      Fs.cpSync(prepared, data, { recursive: true })
      return url(data)
    },
    remove: async () => Fs.rmSync(Path.dirname(prepared), { recursive: true, force: true })
  }
}

/** The servers of an engine, or the reason why they cannot run on this machine. */
export const serversOf = (engine: Engine): Servers | string => {
  switch (engine) {
    case "postgres":
      return postgres()
    case "pglite":
      return pglite()
    case "redis":
      return hasRedis() ? carried(new ThrowawayRedis()) : "there is no Redis here: install redis-server"
    case "nats": {
      const file = natsServer()
      return file === undefined ? "there is no NATS here: install nats-server" : carried(new ThrowawayNats(file))
    }
    case "rabbitmq":
      return hasRabbit() ? carried(new ThrowawayRabbit()) : "there is no RabbitMQ here: install rabbitmq-server"
  }
}
