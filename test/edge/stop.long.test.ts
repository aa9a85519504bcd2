// Clients and their work when the service is stopped, or its process dies.
import pg from "pg"
import { assert, describe, vi } from "vitest"
import { databaseFolder } from "../kit/pglite.js"
import { describePostgres } from "../kit/postgres.js"
import { it } from "../kit/service.js"
import { poll } from "../kit/until.js"
import { keepAlive, listen, slowUpload, vanish } from "./clients.js"
import { columns, csv, verify } from "./crashWorld.js"

vi.setConfig({ testTimeout: 120_000 })

const rows = 5_000

describe.concurrent("a service that is stopped", () => {
  describe("on PGlite", () => {
    it("closes its connections after their last response and finishes their work; clients that have disappeared do not delay it", async ({ start }) => {
      const service = start({ DATABASE_URL: `pglite:${await databaseFolder()}` })
      const { api } = service
      await service.runs()
      const { id } = await api.upload(csv(rows), { columns })
      const gone = await listen(api, `/imports/${id}/events`)
      await gone.first
      gone.vanish()
      await api.completed(id)
      for (let n = 0; n < 20; n++) await vanish(api, `/imports/${id}/rows?limit=1000`)
      const kept = keepAlive(api)
      assert.deepInclude(await kept.get("/status"), {
        status: 200,
        connection: "keep-alive",
        text: `{"state":"Running"}`
      })
      const upload = await slowUpload(api)
      const [running] = (await api.json<{ imports: ReadonlyArray<{ id: string }> }>("/imports")).imports
      const events = await listen(api, `/imports/${running!.id}/events`)
      await events.first

      service.kill("SIGTERM")
      const { complete, text } = await events.ended
      assert.isTrue(complete)
      assert.match(text, /^retry: 1000\n\nevent: progress\ndata: .*"status":"Uploading"/)
      assert.deepInclude(await kept.get("/status"), {
        status: 200,
        connection: "close",
        text: `{"state":"Draining"}`,
        reused: true
      })
      const answer = await upload.finish()
      assert.strictEqual(answer.statusCode, 202)
      assert.strictEqual(answer.headers.connection, "close")
      answer.resume()
      assert.deepStrictEqual(await service.ended, { code: 0, signal: null }, service.output)
      kept.close()
      const http = service.report().drains.find((drain) => drain.name === "http")
      assert.deepInclude(http, { outcome: "Drained", finished: 3, cut: 0 })
      assert.notMatch(service.output, /level=WARN(?!.*event loop)|level=ERROR/)
    })
  })

  describePostgres("on PostgreSQL", (postgres) => {
    it("interrupts a batch at its deadline and hands its job back, also while it waits for a lock", async ({ start }) => {
      const service = start({ DATABASE_URL: postgres.url, GRACE_PERIOD: "15s" })
      await service.runs()
      const other = new pg.Client(postgres.url)
      await other.connect()
      try {
        await other.query("BEGIN")
        await other.query("LOCK TABLE import_rows IN EXCLUSIVE MODE")
        const { id } = await service.api.upload(csv(rows), { columns })
        await poll("a batch waits for the lock", async () => {
          const waiting = await postgres.query(
            "SELECT FROM pg_locks WHERE NOT granted AND relation = 'import_rows'::regclass"
          )
          return waiting.length > 0 || undefined
        })
        service.kill("SIGTERM")
        assert.deepStrictEqual(await service.ended, { code: 0, signal: null }, service.output)
        const { drains, elapsed } = service.report()
        assert.isBelow(elapsed, 16_500)
        assert.deepInclude(drains.find(({ name }) => name === "importer"), {
          outcome: "Interrupted",
          handedBack: 1,
          cut: 0
        })
        await other.query("ROLLBACK")
        assert.deepStrictEqual(await postgres.query("SELECT FROM import_rows LIMIT 1"), [])
        const next = start({ DATABASE_URL: postgres.url })
        await next.runs()
        await next.api.completed(id)
        await verify(next.api, id, rows)
      } finally {
        await other.end()
      }
    })
  })
})

describe.concurrent("a process that dies in the middle of an upload", () => {
  it("leaves nothing behind; a client that repeats the upload with its Idempotency-Key succeeds", async ({ start }) => {
    const env = { DATABASE_URL: `pglite:${await databaseFolder()}` }
    const service = start(env)
    const key = { "idempotency-key": "once" }
    await service.runs()
    const upload = await slowUpload(service.api, key)
    const [begun] = (await service.api.json<{ imports: ReadonlyArray<{ id: string }> }>("/imports")).imports
    service.kill("SIGKILL")
    await service.ended
    assert.strictEqual(await upload.answer.then(() => "answered", () => "hung up"), "hung up")

    const next = start(env)
    const { api } = next
    await next.runs()
    const post = async () => {
      const answer = await api.request("/imports", {
        method: "POST",
        headers: { "content-type": "text/csv", ...key },
        body: "id,name\n1,Ada\n"
      })
      return { status: answer.status, body: await answer.json() as { readonly id: string; readonly _tag?: string } }
    }
    // Refused until the heartbeat of the first upload is stale; a slow start may take longer than that.
    const { body } = await poll("the upload is accepted", async () => {
      const answer = await post()
      if (answer.status === 202) return answer
      assert.deepStrictEqual([answer.status, answer.body._tag], [409, "UploadInProgress"])
      return undefined
    })
    assert.notStrictEqual(body.id, begun!.id)
    assert.deepInclude(await api.completed(body.id), { rowsTotal: 1, rowsLoaded: 1 })
    assert.strictEqual((await api.request(`/imports/${begun!.id}`)).status, 404)
    assert.deepInclude(await post(), { status: 202 })
  })
})

describe("a service on PGlite whose GRACE_PERIOD is shorter than what a batch takes", () => {
  it("loses no row, and the next start loads none twice", async ({ start }) => {
    const env = { DATABASE_URL: `pglite:${await databaseFolder()}` }
    const service = start({ ...env, GRACE_PERIOD: "10ms" })
    await service.runs()
    const { id } = await service.api.upload(csv(rows), { columns })
    await service.api.has(id, "some rows are loaded", ({ rowsLoaded }) => rowsLoaded > 0)
    service.kill("SIGTERM")
    const { code } = await service.ended
    assert.strictEqual(code, service.report().exitCode)
    const next = start(env)
    await next.runs()
    await next.api.completed(id)
    await verify(next.api, id, rows)
  })
})
