import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Hurtable, Throwaway } from "./throwaway.js"

/** A Redis server. Whoever uses it takes a prefix of its own for what it puts there. */
export interface RedisPlace {
  /** Known once the server was created. */
  readonly url: string
}

export interface RedisServer extends RedisPlace, Hurtable {
  /** Whatever it held is gone, as on a server without persistence that has crashed. */
  readonly forget: () => Promise<void>
}

/** Whether a server can be started here. */
export const hasRedis = (): boolean => spawnSync("redis-server", ["--version"]).status === 0

export class ThrowawayRedis extends Throwaway implements RedisServer {
  constructor() {
    super({
      name: "redis",
      file: "redis-server",
      options: (port, dir) =>
        Object.entries({ port, dir, bind: "127.0.0.1", save: "", appendonly: "yes", appendfsync: "always" })
          .flatMap(([name, value]) => [`--${name}`, String(value)]),
      ready: "Ready to accept connections",
      signals: { stop: "SIGTERM", kill: "SIGKILL" }
    })
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`
  }

  forget = async () => {
    await this.kill()
    Fs.rmSync(Path.join(this.folder, "appendonlydir"), { recursive: true, force: true })
    await this.start()
  }
}
