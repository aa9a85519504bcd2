import { spawnSync } from "node:child_process"
import { type ServerControls, Throwaway } from "./throwaway.js"

/** A Redis server. Each user of it puts its keys under a prefix of its own. */
export interface RedisPlace {
  /** Known once the server was created. */
  readonly url: string
}

export interface RedisServer extends RedisPlace, ServerControls {
  /** Restarts it without its data, as a crash does without persistence. */
  readonly wipe: () => Promise<void>
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

  wipe = () => this.startWithout("appendonlydir")
}
