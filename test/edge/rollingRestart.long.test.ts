// Restarts two instances behind a real load balancer in turns, under constant load.
import { afterEach, assert, it, onTestFailed } from "vitest"
import { freePort } from "../kit/freePort.js"
import { describeHaproxy, Haproxy } from "../kit/haproxy.js"
import { Traffic } from "../kit/traffic.js"
import { startService, type TrafficService } from "./trafficWorld.js"

const restarts = 10

/** Longer than haproxy takes to notice that /readyz has changed. */
const longPreStopDelay = "1s"

const instances = new Map<number, TrafficService>()

const start = async (port: number, preStopDelay: string) =>
  instances.set(port, await startService({ PORT: String(port), PRE_STOP_DELAY: preStopDelay }))

afterEach(async () => {
  await Promise.all(Array.from(instances.values(), ({ child }) => child.end()))
  instances.clear()
})

describeHaproxy("a service behind haproxy", () => {
  for (const preStopDelay of ["0s", longPreStopDelay]) {
    it(`fails no request in ${restarts} rolling restarts, with a preStopDelay of ${preStopDelay}`, async () => {
      const ports = [await freePort(), await freePort()]
      for (const port of ports) await start(port, preStopDelay)
      const haproxy = await Haproxy.start(ports)
      onTestFailed(() => console.error(haproxy.failures.join("\n")))
      try {
        for (const port of ports) await haproxy.up(port)
        const traffic = new Traffic(haproxy.port, 20, { think: 5, path: "/?ms=5" })
        for (let restart = 0; restart < restarts; restart++) {
          await traffic.flows(200)
          const port = ports[restart % ports.length]!
          const { child } = instances.get(port)!
          child.kill("SIGTERM")
          assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
          await start(port, preStopDelay)
          await haproxy.up(port)
        }
        const { dropped, droppedOnNew, failed } = await traffic.stop()
        assert.deepStrictEqual({ dropped, droppedOnNew, failed }, { dropped: [], droppedOnNew: [], failed: [] })
      } finally {
        await haproxy.end()
      }
    })
  }
})
