/**
 * An HTTP API to operate jobs: queues and their depth, jobs by state, dead letters, pause and resume. A group of
 * `@effect/platform`'s `HttpApi`, which an app adds to its own, under its own path, with its own middleware.
 *
 * It shows payloads and errors and changes what runs, so it needs what keeps others out: a middleware of the app.
 *
 * @example
 * ```ts
 * import { HttpApi, HttpApiBuilder, HttpApiMiddleware, HttpApiSchema, HttpApiSecurity } from "@effect/platform"
 * import { Config, Effect, Layer, Redacted, Schema } from "effect"
 * import { JobConsole, WorkerPool } from "lastcall"
 *
 * class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}
 *
 * class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}, HttpApiSchema.annotations({ status: 401 })) {}
 *
 * class Operator extends HttpApiMiddleware.Tag<Operator>()("Operator", {
 *   failure: Unauthorized,
 *   security: { token: HttpApiSecurity.bearer }
 * }) {}
 *
 * class Api extends HttpApi.make("app").add(JobConsole.Group.prefix("/admin").middleware(Operator)) {}
 *
 * const OperatorLive = Layer.effect(Operator, Effect.map(Config.redacted("OPERATOR_TOKEN"), (token) => ({
 *   token: (given) => Redacted.value(given) === Redacted.value(token) ? Effect.void : new Unauthorized()
 * })))
 *
 * export const ApiLive = HttpApiBuilder.api(Api).pipe(
 *   Layer.provide(JobConsole.layer(Api, [Mailer])),
 *   Layer.provide(OperatorLive)
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { type HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Effect, Layer, Schema } from "effect"
import { distinct, makeConsole } from "./internal/console.js"
import { JobNotFound, JobsUnavailable, PositionInvalid, QueueNotFound } from "./internal/consoleErrors.js"
import * as Schemas from "./internal/consoleSchemas.js"
import type { Service } from "./internal/poolService.js"

export { JobNotFound, JobsUnavailable, PositionInvalid, QueueNotFound }

const queue = HttpApiSchema.param("queue", Schema.String)
const id = HttpApiSchema.param("id", Schema.String)

const describe = (text: string) => OpenApi.annotations({ description: text })

/**
 * The group. Its paths begin with `/queues`: use `prefix` to put them elsewhere, and `middleware` to keep others out.
 *
 * @since 0.1.0
 * @category api
 */
export class Group extends HttpApiGroup.make("jobs")
  .add(
    HttpApiEndpoint.get("queues", "/queues").addSuccess(Schema.Struct({ queues: Schema.Array(Schemas.Queue) }))
      .annotateContext(
        describe("The queues of the pools of this process, with their depth and the state of each pool here.")
      )
  )
  .add(
    HttpApiEndpoint.get("queue")`/queues/${queue}`.addSuccess(Schemas.Queue).addError(QueueNotFound)
      .annotateContext(describe("One of them."))
  )
  .add(
    HttpApiEndpoint.get("jobs")`/queues/${queue}/jobs`.setUrlParams(Schemas.ListParams).addSuccess(Schemas.Page)
      .addError(QueueNotFound).addError(PositionInvalid)
      .annotateContext(describe(
        "The jobs of a state, in all processes. The next page is the one `after` the `next` of this page. " +
          "An engine may list no more than `listLimits` of the queue says."
      ))
  )
  .add(
    HttpApiEndpoint.get("job")`/queues/${queue}/jobs/${id}`.addSuccess(Schemas.Job).addError(QueueNotFound)
      .addError(JobNotFound)
      .annotateContext(describe("A job, in whatever state it is. There is none once it was acknowledged."))
  )
  .add(
    HttpApiEndpoint.del("cancel")`/queues/${queue}/jobs/${id}`.addSuccess(HttpApiSchema.Empty(202)).addError(
      QueueNotFound
    )
      .addError(JobNotFound)
      .annotateContext(
        describe("Cancels a job: removed while it waits, interrupted while it runs, in whatever process.")
      )
  )
  .add(
    HttpApiEndpoint.post("pause")`/queues/${queue}/pause`.setUrlParams(Schemas.ScopeParams).addSuccess(Schemas.Queue)
      .addError(QueueNotFound)
      .annotateContext(describe(
        "No job of the queue begins, in all processes, or with `scope=Process` in the one that answers. What runs goes on."
      ))
  )
  .add(
    HttpApiEndpoint.post("resume")`/queues/${queue}/resume`.setUrlParams(Schemas.ScopeParams).addSuccess(Schemas.Queue)
      .addError(QueueNotFound)
      .annotateContext(describe("Takes back the pause of the same scope."))
  )
  .add(
    HttpApiEndpoint.post("redrive")`/queues/${queue}/dead-letters/${id}/redrive`.setUrlParams(Schemas.RedriveParams)
      .addSuccess(HttpApiSchema.Empty(202)).addError(QueueNotFound).addError(JobNotFound)
      .annotateContext(
        describe("Makes a dead letter a job again, with all its attempts: from its cursor, or `fromStart`.")
      )
  )
  .add(
    HttpApiEndpoint.post("redriveAll")`/queues/${queue}/dead-letters/redrive`.setPayload(Schemas.RedrivePayload)
      .addSuccess(Schemas.Changed).addError(QueueNotFound)
      .annotateContext(describe("The same for several. Ids that are no dead letters are skipped."))
  )
  .add(
    HttpApiEndpoint.post("redriveMatching")`/queues/${queue}/dead-letters/redrive-matching`
      .setPayload(Schemas.RedriveMatchingPayload).addSuccess(Schemas.Changed).addError(QueueNotFound)
      .annotateContext(describe(
        "The same for those whose error contains the text `error`, all of them if it is empty: the first `limit`, or all."
      ))
  )
  .add(
    HttpApiEndpoint.del("discard")`/queues/${queue}/dead-letters/${id}`.addSuccess(HttpApiSchema.NoContent)
      .addError(QueueNotFound).addError(JobNotFound)
      .annotateContext(describe("Deletes a dead letter."))
  )
  .add(
    HttpApiEndpoint.post("discardAll")`/queues/${queue}/dead-letters/discard`.setPayload(Schemas.DiscardPayload)
      .addSuccess(Schemas.Changed).addError(QueueNotFound)
      .annotateContext(describe("The same for several. Ids that are no dead letters are skipped."))
  )
  .addError(JobsUnavailable)
{}

/**
 * The group's handlers, for an API to which `Group` was added, over these pools: tags of `WorkerPool`, with workers in this process or
 * without (`layerClient`), or effects that return such a service. An app that keeps a record of its jobs returns one whose `deadLetters`
 * also changes that record.
 *
 * Two pools of one name are a defect, and so is an API without the group.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <
  ApiId extends string,
  Groups extends HttpApiGroup.HttpApiGroup.Any,
  E,
  R,
  const Pools extends ReadonlyArray<Effect.Effect<Service<never>, never, unknown>>
>(
  api: HttpApi.HttpApi<ApiId, Groups, E, R>,
  pools: Pools
): Layer.Layer<
  HttpApiGroup.ApiGroup<ApiId, "jobs">,
  never,
  Effect.Effect.Context<Pools[number]> | HttpApiGroup.HttpApiGroup.MiddlewareWithName<Groups, "jobs">
> => {
  if (!("jobs" in api.groups)) {
    return Layer.die(new Error("JobConsole: the API lacks the group: add JobConsole.Group to it"))
  }
  // What an app adds to the group, such as a middleware, does not concern its handlers.
  const alone = api as unknown as HttpApi.HttpApi<ApiId, typeof Group>
  const allPools: ReadonlyArray<Effect.Effect<Service<never>, never, unknown>> = pools
  const layer = HttpApiBuilder.group(
    alone,
    "jobs",
    (handlers) =>
      Effect.map(
        Effect.flatMap(Effect.all(allPools), (services) => distinct("JobConsole: two pools", services)),
        (services) => {
          const console = makeConsole(services)
          return handlers
            .handle("queues", () => console.queues)
            .handle("queue", ({ path }) => console.queue(path.queue))
            .handle("jobs", ({ path, urlParams }) => console.jobs(path.queue, urlParams))
            .handle("job", ({ path }) => console.job(path.queue, path.id))
            .handle("cancel", ({ path }) => console.cancel(path.queue, path.id))
            .handle("pause", ({ path, urlParams }) => console.setPaused(path.queue, urlParams.scope, true))
            .handle("resume", ({ path, urlParams }) => console.setPaused(path.queue, urlParams.scope, false))
            .handle("redrive", ({ path, urlParams }) => console.redrive(path.queue, path.id, urlParams))
            .handle("redriveAll", ({ path, payload }) => console.redriveAll(path.queue, payload.ids, payload))
            .handle("redriveMatching", ({ path, payload }) => console.redriveMatching(path.queue, payload))
            .handle("discard", ({ path }) => console.discard(path.queue, path.id))
            .handle("discardAll", ({ path, payload }) => console.discardAll(path.queue, payload.ids))
        }
      )
  )
  return layer as never
}
