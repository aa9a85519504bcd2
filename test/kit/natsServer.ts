import { spawnSync } from "node:child_process"
import { Throwaway } from "./throwaway.js"

const files = ["nats-server", "/usr/sbin/nats-server"]

/** The program that starts a server here, if there is one. */
export const natsServer = (): string | undefined => files.find((file) => spawnSync(file, ["--version"]).status === 0)

/** A NATS server with JetStream. */
export class ThrowawayNats extends Throwaway {
  constructor(file: string) {
    super({
      name: "nats",
      file,
      options: (port, folder) => ["-js", "-sd", folder, "-a", "127.0.0.1", "-p", String(port)],
      ready: "Server is ready",
      signals: { stop: "SIGTERM", kill: "SIGKILL" }
    })
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`
  }

  /** Restarts it without its data. */
  wipe = () => this.startWithout("jetstream")
}
