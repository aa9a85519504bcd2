// A database that dies, or stops answering, under a real service.
import { assert, vi } from "vitest"
import { describePostgresServer } from "../kit/postgres.js"
import { it, type ServiceProcess } from "../kit/service.js"
import { poll } from "../kit/until.js"
import { columns, csv, verify } from "./crashWorld.js"

vi.setConfig({ testTimeout: 120_000 })

const rows = 10_000
const file = csv(rows)

/** Starts an import and waits until some of its rows are loaded. */
const begun = async ({ api }: ServiceProcess) => {
  const { id } = await api.upload(file, { columns })
  await api.has(id, "some rows are loaded", ({ rowsLoaded }) => rowsLoaded > 0)
  return id
}

/** Stops the service while its database is away: it ends in time, and its report lists what it could not do. */
const endsInTime = async (service: ServiceProcess) => {
  service.kill("SIGTERM")
  const { code, signal } = await service.ended
  const { drains, elapsed, exitCode } = service.report()
  assert.deepStrictEqual({ code, signal }, { code: exitCode, signal: null }, service.output)
  assert.isBelow(elapsed, 9500, service.output)
  // With late timers the deadline may pass before the last release has ended: then the report lists `scope` as well.
  assert.includeMembers(drains.map(({ name }) => name), ["http", "importer", "database"], service.output)
}

describePostgresServer("a database on PostgreSQL", (server) => {
  it("that dies in the middle of an import, or is away when the service stops, loses no row", async ({ start }) => {
    const env = { DATABASE_URL: server.url }
    const service = start({ ...env, GRACE_PERIOD: "8s" })
    const { api } = service
    await service.runs()
    const first = await begun(service)
    await server.kill()
    const answer = await api.request(`/imports/${first}`)
    assert.strictEqual(answer.status, 503)
    assert.strictEqual(answer.headers.get("retry-after"), "2")
    assert.deepInclude(await answer.json(), { _tag: "DatabaseUnavailable" })
    assert.strictEqual((await api.request("/livez")).status, 200)
    await server.start()
    await poll("the service answers again", async () => (await api.request(`/imports/${first}`)).ok || undefined)
    await api.completed(first)
    await verify(api, first, rows)

    const second = await begun(service)
    await server.kill()
    await endsInTime(service)
    await server.start()
    const next = start(env)
    await next.runs()
    await next.api.completed(second)
    await verify(next.api, second, rows)
  })

  it("that does not answer when the service stops loses no row", async ({ start }) => {
    const env = { DATABASE_URL: server.url }
    const service = start({ ...env, GRACE_PERIOD: "8s" })
    await service.runs()
    const id = await begun(service)
    server.freeze()
    await endsInTime(service)
    server.thaw()
    const next = start(env)
    await next.runs()
    await next.api.completed(id)
    await verify(next.api, id, rows)
  })
})
