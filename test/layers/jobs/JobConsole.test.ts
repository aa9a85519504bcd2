import { HttpApi, HttpApiBuilder, OpenApi } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Option, type Scope, TestClock } from "effect"
import * as JobConsole from "../../../src/layers/jobs/JobConsole.js"
import { JobSourceError } from "../../../src/layers/jobs/JobSource.js"

import { Api, Images, Letters, makeApp, OperatorLive } from "./JobConsoleWorld.js"

const exactly = (count: number) => ({ count, estimated: false })

describe("The job console", () => {
  it.scoped("shows the queues with their depth, and the pools of this process", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      yield* Effect.provide(Letters.offerAll(["a", "b", "c", "bad"]), context)
      yield* Effect.provide(Images.offer("later", { delay: "1 hour" }), context)
      yield* TestClock.adjust("1 second")
      const noLimits = { Waiting: null, Delayed: null, Blocked: null, Running: null, Dead: null }
      const counts = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }
      const letters = {
        name: "letters",
        jobs: { Waiting: exactly(2), Delayed: exactly(0), Blocked: exactly(0), Running: exactly(2), Dead: exactly(0) },
        oldest: "1970-01-01T00:00:00.000Z",
        listLimits: noLimits,
        pool: { ...counts, condition: "Running", concurrency: 2, paused: [], inFlight: 2 }
      }
      const images = {
        name: "images",
        jobs: { Waiting: exactly(0), Delayed: exactly(1), Blocked: exactly(0), Running: exactly(0), Dead: exactly(0) },
        oldest: null,
        listLimits: noLimits,
        pool: { ...counts, condition: "Client", concurrency: 0, paused: [] }
      }
      assert.deepStrictEqual(yield* send("GET", "/queues"), [200, { queues: [letters, images] }])
      assert.deepStrictEqual(yield* send("GET", "/queues/images"), [200, images])
    }))

  it.scoped("lists the jobs of a state page by page, and shows one", () =>
    Effect.gen(function*() {
      const { client, context, send } = yield* makeApp()
      const ids = ["1", "2", "3", "4", "5"]
      yield* Effect.provide(Letters.pause("Queue"), context)
      yield* Effect.provide(Letters.offerAll(ids, { ids }), context)
      const list = (after: Option.Option<string>) =>
        client.jobs.jobs({
          path: { queue: "letters" },
          urlParams: { state: "Waiting", limit: 2, after: Option.getOrUndefined(after) }
        })
      const first = yield* list(Option.none())
      const second = yield* list(first.next)
      const third = yield* list(second.next)
      assert.deepStrictEqual([first, second, third].map(({ jobs }) => jobs.map(({ id }) => id)), [
        ["1", "2"],
        ["3", "4"],
        ["5"]
      ])
      assert.deepStrictEqual(third.next, Option.none())
      yield* Effect.provide(Letters.resume("Queue"), context)
      yield* TestClock.adjust("1 second")
      const [status, job] = yield* send("GET", "/queues/letters/jobs/1")
      assert.match(job.run.by, /^.+\/\d+$/)
      assert.deepStrictEqual([status, { ...job, run: { ...job.run, by: null } }], [200, {
        id: "1",
        state: "Running",
        key: null,
        payload: "1",
        attempt: 1,
        cursor: null,
        offeredAt: "1970-01-01T00:00:00.000Z",
        dueAt: "1970-01-01T00:00:00.000Z",
        run: { by: null, since: "1970-01-01T00:00:00.000Z", leaseUntil: "1970-01-01T00:00:15.000Z" },
        error: null,
        failure: null,
        failedAt: null
      }])
    }))

  it.scoped("shows payloads that are no JSON as text, and finds an id that has a slash", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      yield* Effect.provide(Images.offer(3n, { id: "a/b?c" }), context)
      const [status, job] = yield* send("GET", `/queues/images/jobs/${encodeURIComponent("a/b?c")}`)
      assert.deepStrictEqual([status, job.id, job.payload], [200, "a/b?c", "3"])
    }))

  it.scoped("shows what a dead letter has failed with, as it is stored", () =>
    Effect.gen(function*() {
      const { client, send, source } = yield* makeApp()
      const queue = yield* source.open({ name: "images" })
      yield* queue.offer([1], { ids: ["a"] })
      const [claim] = yield* queue.claim(1)
      const failure = { _tag: "Refused", code: 550 }
      yield* queue.deadLetter(claim!, "Refused", Option.some(failure))
      const [, job] = yield* send("GET", "/queues/images/jobs/a")
      const { jobs } = yield* client.jobs.jobs({
        path: { queue: "images" },
        urlParams: { state: "Dead", limit: 9, after: undefined }
      })
      assert.deepStrictEqual([job.failure, jobs.map(({ failure }) => failure)], [failure, [failure]])
    }))

  it.scoped("redrives and discards dead letters, one or many", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      const ids = ["a", "b", "c", "d", "e"]
      yield* Effect.provide(Letters.offerAll(ids.map((id) => `bad ${id}`), { ids }), context)
      yield* TestClock.adjust("1 second")
      const dead = Effect.map(send("GET", "/queues/letters/jobs?state=Dead"), ([, { jobs }]) =>
        jobs.map(({ error, id }: { id: string; error: string }) => `${id}: ${error}`))
      assert.deepStrictEqual(
        yield* dead,
        ids.map((id) =>
          `${id}: Error: no such address`
        )
      )
      yield* send("POST", "/queues/letters/pause")
      assert.deepStrictEqual(
        yield* Effect.all([
          send("POST", "/queues/letters/dead-letters/a/redrive?fromStart=true"),
          send("DELETE", "/queues/letters/dead-letters/b"),
          send("POST", "/queues/letters/dead-letters/redrive", { body: { ids: ["c", "b", "none"] } }),
          send("POST", "/queues/letters/dead-letters/discard", { body: { ids: ["d", "a"] } })
        ]),
        [[202, undefined], [204, undefined], [200, { count: 1 }], [200, { count: 1 }]]
      )
      assert.deepStrictEqual((yield* dead).map((line: string) => line[0]), ["e"])
      assert.strictEqual((yield* send("GET", "/queues/letters"))[1].jobs.Waiting.count, 2)
    }))

  it.scoped("redrives the dead letters that have a text in their error, and none without such a text", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      const ids = ["a", "b", "c"]
      yield* Effect.provide(Letters.offerAll(ids.map((id) => `bad ${id}`), { ids }), context)
      yield* TestClock.adjust("1 second")
      yield* send("POST", "/queues/letters/pause")
      const redrive = (body: unknown) => send("POST", "/queues/letters/dead-letters/redrive-matching", { body })
      const [status] = yield* redrive({ errors: "address" })
      assert.deepStrictEqual(
        [
          status,
          yield* redrive({ error: "timeout" }),
          yield* redrive({ error: "address", limit: 2, fromStart: true }),
          yield* redrive({ error: "" })
        ],
        [400, [200, { count: 0 }], [200, { count: 2 }], [200, { count: 1 }]]
      )
    }))

  it.scoped("cancels a job that waits, and one that runs", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      yield* Effect.provide(Letters.offerAll(["1", "2", "3"], { ids: ["1", "2", "3"] }), context)
      yield* TestClock.adjust("1 second")
      const statuses: Array<number> = []
      for (const id of ["1", "3", "none"]) statuses.push((yield* send("DELETE", `/queues/letters/jobs/${id}`))[0])
      yield* TestClock.adjust("1 second")
      const { jobs, pool } = (yield* send("GET", "/queues/letters"))[1]
      assert.deepStrictEqual(statuses, [202, 202, 404])
      assert.deepStrictEqual([jobs.Waiting.count, jobs.Running.count, pool.inFlight], [0, 1, 1])
    }))

  it.scoped("pauses and resumes a queue, or the pool of this process", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      const pools: Array<unknown> = []
      for (const path of ["pause", "pause?scope=Process", "resume", "resume?scope=Process"]) {
        const [status, { pool }] = yield* send("POST", `/queues/letters/${path}`)
        pools.push([status, pool.condition, pool.paused])
      }
      assert.deepStrictEqual(pools, [
        [200, "Paused", ["Queue"]],
        [200, "Paused", ["Queue", "Process"]],
        [200, "Paused", ["Process"]],
        [200, "Running", []]
      ])
      assert.deepStrictEqual((yield* Effect.provide(Letters.status, context)).paused, [])
    }))

  it.scoped("answers what is not there and what is wrong with a typed error", () =>
    Effect.gen(function*() {
      const { client, send } = yield* makeApp()
      const refusals = yield* Effect.forEach([
        ["GET", "/queues/none"],
        ["GET", "/queues/letters/jobs/none"],
        ["POST", "/queues/letters/dead-letters/none/redrive"],
        ["DELETE", "/queues/letters/dead-letters/none"],
        ["GET", "/queues/letters/jobs?state=Waiting&after=nowhere"],
        ["GET", "/queues/letters/jobs?state=Waiting&limit=1001"],
        ["GET", "/queues/letters/jobs?state=waiting"],
        ["POST", "/queues/letters/pause?scope=all"]
      ], ([method, path]) => Effect.map(send(method!, path!), ([status, body]) => `${status} ${body._tag}`))
      assert.deepStrictEqual(refusals, [
        "404 QueueNotFound",
        "404 JobNotFound",
        "404 JobNotFound",
        "404 JobNotFound",
        "400 PositionInvalid",
        "400 HttpApiDecodeError",
        "400 HttpApiDecodeError",
        "400 HttpApiDecodeError"
      ])
      const error = yield* Effect.flip(client.jobs.queue({ path: { queue: "none" } }))
      assert.deepStrictEqual(
        error,
        new JobConsole.QueueNotFound({ message: "no pool of this process has the queue none" })
      )
    }))

  it.scoped("answers 503 without the address while the source is away", () =>
    Effect.gen(function*() {
      const { send } = yield* makeApp((source) => ({
        ...source,
        open: (options) =>
          Effect.map(source.open(options), (queue) => ({
            ...queue,
            depth: new JobSourceError({ operation: "depth", queue: options.name, cause: new Error("at 10.0.0.1") })
          }))
      }))
      assert.deepStrictEqual(yield* send("GET", "/queues"), [503, {
        _tag: "JobsUnavailable",
        message: "letters: the source of the jobs is unavailable"
      }])
    }))

  it.scoped("answers to none but those whom the app's middleware lets in", () =>
    Effect.gen(function*() {
      const { context, send } = yield* makeApp()
      assert.deepStrictEqual(yield* send("POST", "/queues/letters/pause", { token: "guess" }), [401, {
        _tag: "Unauthorized"
      }])
      assert.deepStrictEqual((yield* Effect.provide(Letters.status, context)).paused, [])
    }))

  it("is described by OpenAPI: paths, statuses and the app's security", () => {
    const { components, paths } = OpenApi.fromApi(Api)
    assert.deepStrictEqual(
      Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { responses, security }]) =>
          `${method} ${path} ${Object.keys(responses).join(" ")} ${security.map((_) => Object.keys(_)).join()}`
        )
      ),
      [
        "get /admin/queues 200 400 401 503 token",
        "get /admin/queues/{queue} 200 400 401 404 503 token",
        "get /admin/queues/{queue}/jobs 200 400 401 404 503 token",
        "get /admin/queues/{queue}/jobs/{id} 200 400 401 404 503 token",
        "delete /admin/queues/{queue}/jobs/{id} 202 400 401 404 503 token",
        "post /admin/queues/{queue}/pause 200 400 401 404 503 token",
        "post /admin/queues/{queue}/resume 200 400 401 404 503 token",
        "post /admin/queues/{queue}/dead-letters/{id}/redrive 202 400 401 404 503 token",
        "post /admin/queues/{queue}/dead-letters/redrive 200 400 401 404 503 token",
        "post /admin/queues/{queue}/dead-letters/redrive-matching 200 400 401 404 503 token",
        "delete /admin/queues/{queue}/dead-letters/{id} 204 400 401 404 503 token",
        "post /admin/queues/{queue}/dead-letters/discard 200 400 401 404 503 token"
      ]
    )
    assert.includeMembers(Object.keys(components.schemas), ["Job", "JobPage", "Queue", "JobNotFound", "QueueNotFound"])
  })

  it.scoped("refuses an API without its group, and two pools of one name", () =>
    Effect.gen(function*() {
      const { context } = yield* makeApp()
      const why = <A, R>(layer: Layer.Layer<A, never, R>) =>
        Effect.scoped(Layer.build(layer)).pipe(
          Effect.provide(Layer.mergeAll(OperatorLive, Layer.succeedContext(context), HttpApiBuilder.Router.Live)),
          Effect.as("built"),
          Effect.catchAllCause((cause) => Effect.succeed(Cause.pretty(cause)))
        ) as Effect.Effect<string, never, Scope.Scope>
      assert.match(yield* why(JobConsole.layer(HttpApi.make("other"), [])), /the API lacks the group/)
      assert.match(yield* why(JobConsole.layer(Api, [Letters, Letters])), /two pools are named letters/)
    }))
})
