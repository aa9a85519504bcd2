import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpApiSecurity,
  HttpApp,
  HttpServer
} from "@effect/platform"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import * as JobConsole from "../../../src/layers/jobs/JobConsole.js"
import { JobSource, type Service } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"

export class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}
export class Images extends WorkerPool.Tag("images")<Images, unknown>() {}

class Unauthorized extends Schema.TaggedError<Unauthorized>()(
  "Unauthorized",
  {},
  HttpApiSchema.annotations({ status: 401 })
) {}

export class Operator extends HttpApiMiddleware.Tag<Operator>()("Operator", {
  failure: Unauthorized,
  security: { token: HttpApiSecurity.bearer }
}) {}

export const OperatorLive = Layer.succeed(Operator, {
  token: (given) => Redacted.value(given) === "secret" ? Effect.void : new Unauthorized()
})

export class Api extends HttpApi.make("app").add(JobConsole.Group.prefix("/admin").middleware(Operator)) {}

/** An app with two pools and the console, in this process: letters of `bad` fail, others take ten seconds. */
export const makeApp = (wrap: (source: Service) => Service = (source) => source) =>
  Effect.gen(function*() {
    const source = Effect.map(JobSourceMemory.make({ durable: true }), wrap)
    const pools = Layer.merge(
      Letters.layer({
        concurrency: 2,
        drainTimeout: 0,
        process: (letter) =>
          letter.startsWith("bad") ? Effect.fail(new Error("no such address")) : Effect.sleep("10 seconds"),
        permanent: () => true
      }),
      Images.layerClient()
    ).pipe(Layer.provideMerge(Layer.effect(JobSource, source)))
    const context = yield* Layer.build(pools)
    const services = yield* Layer.build(
      Layer.mergeAll(
        HttpApiBuilder.api(Api).pipe(
          Layer.provide(JobConsole.layer(Api, [Letters, Images])),
          Layer.provide(OperatorLive),
          Layer.provide(Layer.succeedContext(context))
        ),
        HttpServer.layerContext
      ).pipe(Layer.provideMerge(Layer.merge(HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer)))
    )
    const app = yield* Effect.provide(HttpApiBuilder.httpApp, services)
    // The requests run in the time of the test.
    const runtime = yield* Effect.provide(
      Effect.runtime<Layer.Layer.Success<typeof HttpServer.layerContext>>(),
      services
    )
    const handler = HttpApp.toWebHandlerRuntime(runtime)(app)
    const send = (method: string, path: string, options: { body?: unknown; token?: string } = {}) =>
      Effect.promise(async () => {
        const response = await handler(
          new Request(`http://app/admin${path}`, {
            method,
            headers: {
              authorization: `Bearer ${options.token ?? "secret"}`,
              ...options.body === undefined ? {} : { "content-type": "application/json" }
            },
            ...options.body === undefined ? {} : { body: JSON.stringify(options.body) }
          })
        )
        const text = await response.text()
        return [response.status, text === "" ? undefined : JSON.parse(text)] as const
      })
    const client = yield* HttpApiClient.make(Api, { baseUrl: "http://app" }).pipe(
      Effect.provide(FetchHttpClient.layer),
      Effect.provideService(
        FetchHttpClient.Fetch,
        ((...args: ConstructorParameters<typeof Request>) => {
          const request = new Request(...args)
          request.headers.set("authorization", "Bearer secret")
          return handler(request)
        }) as typeof fetch
      )
    )
    return { context, send, client, source: Context.get(context, JobSource) }
  })
