// examples/template and create-lastcall are packages of their own, which .ci/template.mjs runs. What they say agrees with this repository.
import { Duration } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "vitest"
import { root } from "./kit/docs.js"

const read = (path: string) => Fs.readFileSync(Path.join(root, path), "utf8")
const manifest = (folder: string) => JSON.parse(read(Path.join(folder, "package.json")))
const template = (path: string) => read(Path.join("examples/template", path))

const captured = (text: string, pattern: RegExp) => {
  const match = pattern.exec(text)
  assert.isNotNull(match, `no ${pattern}`)
  return match![1]!
}

const seconds = (text: string, pattern: RegExp) =>
  Duration.toSeconds(
    Duration.decode(captured(text, pattern).replace(/^(\d+)s$/, "$1 seconds") as Duration.DurationInput)
  )

describe("the template", () => {
  it("has the versions that lastcall is tested with, and the version of lastcall", () => {
    const { dependencies, devDependencies } = manifest("examples/template")
    const { devDependencies: tested, version } = manifest(".")
    const { lastcall, ...others } = { ...dependencies, ...devDependencies }
    assert.deepStrictEqual(others, Object.fromEntries(Object.keys(others).map((name) => [name, tested[name]])))
    assert.strictEqual(lastcall, version)
    assert.strictEqual(manifest("create").version, version)
  })

  it("gives its drains what the budget in k8s.yaml leaves, and the budget less than the platforms wait", () => {
    const k8s = template("k8s.yaml")
    const gracePeriod = seconds(k8s, /GRACE_PERIOD, value: (\d+s)/)
    const preStopDelay = seconds(k8s, /PRE_STOP_DELAY, value: (\d+s)/)
    const reserve = Math.min(gracePeriod / 10, 2)
    const server = seconds(template("src/app.ts"), /drainTimeout: Config\.succeed\("(.+?)"\)/)
    const workers = seconds(template("src/work.ts"), /drainTimeout: "(.+?)"/)
    assert.isAtMost(server + workers, gracePeriod - preStopDelay - reserve)
    assert.isAtLeast(Number(captured(k8s, /terminationGracePeriodSeconds: (\d+)/)), gracePeriod + 2)

    const compose = template("compose.yaml")
    assert.isAtLeast(seconds(compose, /stop_grace_period: (\d+s)/), seconds(compose, /GRACE_PERIOD: (\d+s)/) + 2)
  })
})
