import { Redis } from "ioredis"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { certificate, key } from "../fixtures/http/certificate.js"
import { freePort } from "./freePort.js"
import { type ServerControls, Throwaway } from "./throwaway.js"

/** A Redis server. Each user of it puts its keys under a prefix of its own. */
export interface RedisPlace {
  /** Known once the server was created. */
  readonly url: string
}

export interface RedisServer extends RedisPlace, ServerControls {
  /** Restarts it without its data, as a crash does without persistence. */
  readonly wipe: () => Promise<void>
  /** Has it serve TLS as well, as localhost, until it restarts. `ca` is the file of the certificate. */
  readonly serveTls: () => Promise<{ readonly port: number; readonly ca: string }>
}

/** Whether a server can be started here. */
export const hasRedis = (): boolean => spawnSync("redis-server", ["--version"]).status === 0

export class ThrowawayRedis extends Throwaway implements RedisServer {
  constructor() {
    super({
      name: "redis",
      file: "redis-server",
      options: (port, dir) =>
        Object.entries({ port, dir, bind: "127.0.0.1 ::1", save: "", appendonly: "yes", appendfsync: "always" })
          .flatMap(([name, value]) => [`--${name}`, String(value)]),
      ready: "Ready to accept connections",
      signals: { stop: "SIGTERM", kill: "SIGKILL" }
    })
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`
  }

  wipe = () => this.startWithout("appendonlydir")

  serveTls = async () => {
    const port = await freePort()
    const file = (name: string, text: string) => {
      const path = Path.join(this.folder, name)
      Fs.writeFileSync(path, text)
      return path
    }
    const ca = file("tls.crt", certificate)
    const redis = new Redis(this.url)
    const settings = {
      "tls-cert-file": ca,
      "tls-key-file": file("tls.key", key),
      "tls-auth-clients": "no",
      "tls-port": port
    }
    for (const [name, value] of Object.entries(settings)) await redis.config("SET", name, value)
    redis.disconnect()
    return { port, ca }
  }
}
