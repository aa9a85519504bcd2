import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { freePort } from "./freePort.js"
import { Throwaway } from "./throwaway.js"

/** Not the command: Debian's runs as the user of the service, in its folder. */
const file = "/usr/lib/rabbitmq/bin/rabbitmq-server"

/** Whether a broker can be started here. */
export const hasRabbit = (): boolean => Fs.existsSync(file) && Fs.existsSync("/usr/bin/epmd")

/** A RabbitMQ broker that shares nothing with one that is installed as a service, not even the register of Erlang's nodes. */
export class ThrowawayRabbit extends Throwaway {
  private epmd: ChildProcess | undefined
  private ports = { epmd: 0, dist: 0 }

  constructor() {
    super({
      name: "rabbitmq",
      file,
      options: () => [],
      env: (port, folder) => ({
        HOME: folder,
        RABBITMQ_CONF_ENV_FILE: Path.join(folder, "none"),
        RABBITMQ_CONFIG_FILE: Path.join(folder, "rabbitmq.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE: Path.join(folder, "plugins"),
        RABBITMQ_MNESIA_BASE: Path.join(folder, "mnesia"),
        RABBITMQ_LOG_BASE: folder,
        RABBITMQ_LOGS: "-",
        RABBITMQ_NODENAME: `lastcall-${port}@localhost`,
        RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
        RABBITMQ_NODE_PORT: String(port),
        RABBITMQ_DIST_PORT: String(this.ports.dist),
        ERL_EPMD_ADDRESS: "127.0.0.1",
        ERL_EPMD_PORT: String(this.ports.epmd),
        // One process, which gets the signals, and which does not spin while it has nothing to do.
        RABBITMQ_ALLOW_INPUT: "1",
        RABBITMQ_SERVER_START_ARGS: "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "+S 1:1 +sbwt none"
      }),
      ready: "completed with",
      signals: { stop: "SIGTERM", kill: "SIGKILL" }
    })
  }

  /** Its URL, by way of a port that leads to it. */
  urlOf = (port: number) => `amqp://guest:guest@127.0.0.1:${port}`

  get url() {
    return this.urlOf(this.port)
  }

  protected override async prepare() {
    Fs.writeFileSync(Path.join(this.folder, "rabbitmq.conf"), "raft.wal_max_size_bytes = 4194304\n")
    this.ports = { epmd: await freePort(), dist: await freePort() }
    // With this option it says when it listens. Erlang would start one that nothing ends.
    this.epmd = spawn("/usr/bin/epmd", ["-debug", "-port", String(this.ports.epmd), "-address", "127.0.0.1"], {
      cwd: this.folder,
      stdio: ["ignore", "ignore", "pipe"]
    })
    await once(this.epmd.stderr!, "data")
    this.epmd.stderr!.resume()
  }

  /** Restarts it without its data. */
  wipe = () => this.startWithout("mnesia")

  override async remove() {
    await super.remove()
    this.epmd?.kill("SIGKILL")
  }
}
