import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe } from "vitest"
import { cannot } from "./cannot.js"
import { Child } from "./child.js"
import { freePort } from "./freePort.js"
import { temporaryFolder } from "./temporaryFolder.js"
import { poll } from "./until.js"

const binary = (): string | undefined =>
  [...(process.env["PATH"] ?? "").split(Path.delimiter), "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => Path.join(folder, "haproxy"))
    .find((path) => Fs.existsSync(path))

/**
 * As deployed: `option redispatch` sends a request whose connection was refused to another instance. Resets, closed
 * connections and error responses of an instance are passed on to the client.
 */
const configuration = (port: number, instances: ReadonlyArray<number>) => `
global
  log stdout format raw local0

defaults
  log global
  option httplog
  option dontlog-normal
  mode http
  timeout connect 2s
  timeout check 2s
  timeout client 30s
  timeout server 30s
  timeout http-keep-alive 30s
  retries 3
  option redispatch 1

listen service
  bind 127.0.0.1:${port}
  balance roundrobin
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
${instances.map((instance) => `  server i${instance} 127.0.0.1:${instance}`).join("\n")}
  stats enable
  stats uri /haproxy
`

/** A load balancer in front of services on these ports, with /readyz as its health check. */
export class Haproxy {
  private constructor(readonly port: number, private readonly child: Child) {}

  static readonly start = async (instances: ReadonlyArray<number>): Promise<Haproxy> => {
    const port = await freePort()
    const file = Path.join(temporaryFolder(), "haproxy.cfg")
    Fs.writeFileSync(file, configuration(port, instances))
    const haproxy = new Haproxy(port, new Child(binary()!, ["-db", "-f", file]))
    await poll("haproxy listens", () => haproxy.states().then((states) => states, () => undefined))
    return haproxy
  }

  /** The states by port, such as `UP` or `DOWN`. */
  private readonly states = async (): Promise<ReadonlyMap<number, string>> => {
    const answer = await fetch(`http://127.0.0.1:${this.port}/haproxy;csv`, { headers: { connection: "close" } })
    const [head = "", ...rows] = (await answer.text()).split("\n").map((line) => line.split(","))
    const status = [...head].indexOf("status")
    return new Map(
      rows.filter(([, name]) => /^i\d+$/.test(name ?? "")).map((row) => [Number(row[1]!.slice(1)), row[status]!])
    )
  }

  /** Resolves when the instance gets requests. */
  readonly up = (instance: number) =>
    poll(`haproxy finds ${instance} up`, async () => (await this.states()).get(instance) === "UP" || undefined)

  /** Its log lines about failed requests. */
  get failures(): ReadonlyArray<string> {
    return this.child.output.split("\n").filter((line) => / (-1|5\d\d) \d+ .* "[A-Z]+ [^"]*"$/.test(line))
  }

  readonly end = () => this.child.end()
}

/** `describe` for tests that need haproxy. */
export const describeHaproxy = (name: string, body: () => void): void => {
  if (binary() === undefined) cannot(name, "there is no haproxy here: install it")
  else describe(name, body)
}
