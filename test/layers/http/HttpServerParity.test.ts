import {
  HttpApp,
  HttpIncomingMessage,
  HttpMiddleware,
  HttpRouter,
  HttpServerError,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Platform from "@effect/platform/HttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Layer, Logger, LogLevel, Option, type Scope, Stream, Tracer } from "effect"
import { createServer } from "node:http"
import { Readable } from "node:stream"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { connect, get } from "../../fixtures/http/client.js"
import { anyPort } from "../../fixtures/http/serving.js"
import { eventually } from "../../kit/until.js"

type Journal = Array<unknown>

interface Served {
  readonly app: HttpApp.Default<unknown, Scope.Scope>
  readonly middleware?: HttpMiddleware.HttpMiddleware
  /** How many entries the journal has when the request has ended. */
  readonly entries?: number
  /** Around the whole app, as an application has it. */
  readonly layer?: (layer: Layer.Layer<never>) => Layer.Layer<never>
}

const post = (body: string, type = "text/plain") =>
  ["POST /path?a=b HTTP/1.1", "Host: test", "Connection: close", `Content-Type: ${type}`]
    .concat(`Content-Length: ${body.length}`, "", body).join("\r\n")
const getAndClose = get("/path?a=b", "Connection: close", "Cookie: a=1; b=2", "User-Agent: test")
const head = getAndClose.replace("GET", "HEAD")

const Request = HttpServerRequest.HttpServerRequest
const { text } = HttpServerResponse
const bytes = (length: number) => Uint8Array.from({ length }, (_, index) => index * 7)

const journalOf = (exit: Exit.Exit<unknown, unknown>) => exit._tag === "Success" ? exit.value : "failed"

/** What is the same for two spans of the same request. */
const describeSpan = (span: Tracer.Span & { readonly events?: ReadonlyArray<ReadonlyArray<unknown>> }) => ({
  name: span.name,
  kind: span.kind,
  sampled: span.sampled,
  status: span.status._tag,
  parent: Option.getOrUndefined(Option.map(span.parent, (parent) => parent.spanId)),
  traceId: span.parent._tag === "Some" ? span.traceId : span.traceId.length,
  spanId: span.spanId.length,
  links: span.links.length,
  attributes: [...span.attributes].map(([name, value]) => [name, String(value).replace(/:\d+/, "")]),
  events: span.events?.map(([name]) => name)
})

const keepSpan = (journal: Journal) => Effect.tap(Effect.currentSpan, (span) => Effect.sync(() => journal.push(span)))
const respondWith = (response: HttpServerResponse.HttpServerResponse): HttpApp.Default => Effect.succeed(response)
const note = (journal: Journal, entry: unknown) => Effect.sync(() => void journal.push(entry))

const collectingTracer = (journal: Journal) =>
  Layer.setTracer(Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        parent,
        context,
        kind,
        attributes,
        links,
        spanId: "span",
        traceId: "trace",
        sampled: true,
        status: { _tag: "Started", startTime },
        attribute: (name, value) => attributes.set(name, value),
        event: () => {},
        addLinks: () => {},
        end: (_, exit) => journal.push(["ended", describeSpan(span).attributes, journalOf(Exit.asVoid(exit))])
      }
      return span
    }
  }))

const cases: ReadonlyArray<readonly [name: string, request: string, served: (journal: Journal) => Served]> = [
  ["a text", getAndClose, () => ({ app: respondWith(text("hello")) })],
  ["a response to HEAD", head, () => ({ app: respondWith(text("hello")) })],
  ["an empty response", getAndClose, () => ({ app: respondWith(HttpServerResponse.empty()) })],
  ["every byte", getAndClose, () => ({ app: respondWith(HttpServerResponse.uint8Array(bytes(256))) })],
  ["many bytes", getAndClose, () => ({ app: respondWith(HttpServerResponse.uint8Array(bytes(100_000))) })],
  ["a raw string", getAndClose, () => ({ app: respondWith(HttpServerResponse.raw("ünï", { status: 201 })) })],
  ["a Node stream", getAndClose, () => ({
    app: Effect.sync(() => HttpServerResponse.raw(Readable.from(["a", "b"])))
  })],
  ["a stream", getAndClose, () => ({
    app: respondWith(
      HttpServerResponse.stream(Stream.fromChunks(Chunk.make(bytes(3), bytes(70_000)), Chunk.of(bytes(2))))
    )
  })],
  ["a form", getAndClose, () => ({
    app: Effect.sync(() => HttpServerResponse.formData(new FormData()))
  })],
  ["cookies", getAndClose, () => ({
    app: HttpServerResponse.setCookies(text("a", { headers: { "set-cookie": "z=0" } }), [["x", "1", { path: "/" }], [
      "y",
      "2"
    ]])
  })],
  ["a body, read twice", post("höllo"), () => ({
    app: Effect.gen(function*() {
      const request = yield* Request
      const both = yield* Effect.all([request.text, request.text], { concurrency: 2 })
      return text([...both, yield* request.text].join())
    })
  })],
  ["JSON", post("{\"a\":1}", "application/json"), () => ({
    app: Effect.flatMap(Effect.flatMap(Request, (_) => _.json), (body) => HttpServerResponse.json(body))
  })],
  ["JSON without a body", getAndClose, () => ({
    app: Effect.flatMap(Effect.flatMap(Request, (_) => _.json), (body) => HttpServerResponse.json([body]))
  })],
  ["JSON that is none", post("{", "application/json"), (journal) => ({
    app: Effect.flatMap(Request, (_) => _.json).pipe(
      Effect.tapError((error) => note(journal, String(error).replace(/Error: .*position.*/, ""))),
      Effect.as(text("a"))
    )
  })],
  ["a body above the limit", post("x".repeat(100)), (journal) => ({
    app: Effect.flatMap(Request, (_) => _.text).pipe(
      HttpIncomingMessage.withMaxBodySize(Option.some(10)),
      Effect.tapErrorCause(() => note(journal, "too large")),
      Effect.as(text("a"))
    )
  })],
  ["a body below the limit", post("x".repeat(10)), () => ({
    app: Effect.flatMap(Request, (_) => _.text).pipe(
      HttpIncomingMessage.withMaxBodySize(Option.some(10)),
      Effect.map((body) => text(body))
    )
  })],
  ["a body as parameters", post("a=1&b=2"), () => ({
    app: Effect.flatMap(Effect.flatMap(Request, (_) => _.urlParamsBody), (params) => HttpServerResponse.json(params))
  })],
  ["a body as bytes", post("abc"), () => ({
    app: Effect.map(
      Effect.flatMap(Request, (_) => _.arrayBuffer),
      (body) => HttpServerResponse.uint8Array(new Uint8Array(body))
    )
  })],
  ["a body as a stream", post("abc"), () => ({
    app: Effect.map(Request, (request) => HttpServerResponse.stream(request.stream))
  })],
  [
    "a form as a stream",
    post("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n", "multipart/form-data; boundary=x"),
    () => ({
      app: Effect.flatMap(Request, (request) => Stream.runCollect(request.multipartStream)).pipe(
        Effect.flatMap((parts) =>
          HttpServerResponse.json(Chunk.toReadonlyArray(parts).map((part) => [part._tag, part]))
        )
      )
    })
  ],
  ["what a request shows", getAndClose, (journal) => ({
    app: Effect.gen(function*() {
      const request = yield* Request
      const modified = request.modify({ url: "/other", remoteAddress: "1.2.3.4" })
      for (const { cookies, headers, method, originalUrl, remoteAddress, url } of [request, modified]) {
        journal.push(cookies, headers, method, originalUrl, remoteAddress, url)
      }
      journal.push(String(modified), JSON.stringify(request.toJSON()))
      journal.push(yield* Effect.flip(request.upgrade).pipe(Effect.map(({ message }) => message)))
      return text("a")
    })
  })],
  ["a failure that is a response", getAndClose, () => ({
    app: Effect.fail({ [HttpServerRespondable.symbol]: () => HttpServerResponse.text("no", { status: 418 }) })
  })],
  ["a failure", getAndClose, () => ({ app: Effect.fail("no") })],
  ["a defect", getAndClose, () => ({ app: Effect.die(new Error("no")) })],
  ["an interruption", getAndClose, () => ({ app: Effect.interrupt })],
  ["a header that cannot be sent", getAndClose, () => ({ app: respondWith(text("a", { headers: { "x-a": "\n" } })) })],
  ["a finalizer that is added after the response", getAndClose, (journal) => ({
    entries: 1,
    app: Effect.gen(function*() {
      const late = Effect.addFinalizer((exit) => note(journal, exit._tag))
      yield* Effect.forkDaemon(Effect.delay(late, "50 millis"))
      return text("a")
    })
  })],
  ["finalizers", getAndClose, (journal) => ({
    entries: 2,
    app: Effect.gen(function*() {
      yield* Effect.addFinalizer((exit) => note(journal, ["finalizer", exit._tag]))
      yield* Effect.forkScoped(
        Effect.onInterrupt(Effect.interruptible(Effect.never), () => note(journal, "fork interrupted"))
      )
      yield* Effect.yieldNow()
      return text("a")
    })
  })],
  ["finalizers of a failure", getAndClose, (journal) => ({
    entries: 1,
    app: Effect.zipRight(Effect.addFinalizer((exit) => note(journal, exit._tag)), Effect.die("no"))
  })],
  ["a scope that the app closes", getAndClose, (journal) => ({
    app: Effect.gen(function*() {
      const scope = (yield* Effect.scope) as Scope.CloseableScope
      yield* Effect.addFinalizer(() => note(journal, "never"))
      HttpApp.ejectDefaultScopeClose(scope)
      return text("a")
    })
  })],
  ["a handler before the response", getAndClose, () => ({
    app: Effect.as(
      HttpApp.appendPreResponseHandler((request, response) =>
        Effect.succeed(HttpServerResponse.setHeader(response, "x-for", request.url))
      ),
      text("a")
    )
  })],
  ["middleware", getAndClose, (journal) => ({
    app: Effect.map(Request, ({ url }) => text(url)),
    middleware: (app) =>
      Effect.tap(
        Effect.updateService(app, Request, (request) => request.modify({ url: "/modified" })),
        ({ status }) => note(journal, status)
      )
  })],
  ["middleware that responds itself", getAndClose, () => ({
    app: Effect.die("never"),
    middleware: () => respondWith(text("middleware"))
  })],
  ["middleware that fails", getAndClose, () => ({
    app: Effect.die("never"),
    middleware: () => Effect.fail(new HttpServerError.RouteNotFound({ request: {} as never })) as never
  })],
  ["middleware that fails after the response", getAndClose, () => ({
    app: respondWith(text("app")),
    middleware: (app) => Effect.zipRight(app, Effect.die("no"))
  })],
  ["middleware around an app that fails", getAndClose, (journal) => ({
    app: Effect.die("no"),
    middleware: (app) => Effect.tapErrorCause(app, (cause) => note(journal, cause._tag))
  })],
  ["CORS and a log of requests", getAndClose, () => ({
    app: respondWith(text("app")),
    middleware: (app) => HttpMiddleware.logger(HttpMiddleware.cors()(app))
  })],
  ["a span", getAndClose, (journal) => ({ app: Effect.as(keepSpan(journal), text("a")) })],
  ["a span with what is recorded in it", getAndClose, (journal) => ({
    app: Effect.gen(function*() {
      yield* Effect.annotateCurrentSpan("a", "b")
      yield* Effect.log("event")
      yield* Effect.withSpan(keepSpan(journal), "child", { root: true })
      yield* keepSpan(journal)
      return text("a", { headers: { "x-a": "b", authorization: "secret" } })
    })
  })],
  ["a span with a parent", get("/", "Connection: close", `b3: ${"a".repeat(32)}-${"b".repeat(16)}-1`), (journal) => ({
    app: Effect.as(keepSpan(journal), text("a"))
  })],
  ["a span within that of the app", getAndClose, (journal) => ({
    app: Effect.as(keepSpan(journal), text("a")),
    layer: Layer.withParentSpan(Tracer.externalSpan({ spanId: "outer", traceId: "outer trace" }))
  })],
  ["a span of a failure, with a route", getAndClose, (journal) => ({
    app: HttpRouter.empty.pipe(HttpRouter.get("/path", Effect.zipRight(keepSpan(journal), Effect.die("no"))))
  })],
  ["a span with a name, annotations and links of the app", getAndClose, (journal) => ({
    app: Effect.as(keepSpan(journal), text("a")),
    layer: (layer) =>
      layer.pipe(
        HttpMiddleware.withSpanNameGenerator(({ url }) => `request ${url}`),
        Layer.annotateSpans("app", "annotated")
      )
  })],
  ["a span that is disabled by its URL", getAndClose, (journal) => ({
    app: Effect.as(Effect.flatMap(Effect.option(Effect.currentSpan), (_) => note(journal, _._tag)), text("a")),
    layer: HttpMiddleware.withTracerDisabledForUrls(["/path?a=b"])
  })],
  ["a span while tracing is disabled", getAndClose, (journal) => ({
    app: Effect.as(Effect.flatMap(Effect.option(Effect.currentSpan), (_) => note(journal, _._tag)), text("a")),
    layer: Layer.provide(Layer.setTracerEnabled(false))
  })],
  ["a span of another tracer", getAndClose, (journal) => ({
    app: Effect.zipRight(keepSpan(journal), Effect.die("no")),
    layer: Layer.provide(collectingTracer(journal))
  })]
]

/** The response as it was sent, and what the app has seen until it had ended. */
const observe = (
  serverLayer: Layer.Layer<Platform.HttpServer, unknown>,
  request: string,
  served: (journal: Journal) => Served
) =>
  Effect.gen(function*() {
    const journal: Journal = []
    const logs: Array<unknown> = []
    const { app, entries = 0, layer = (layer) => layer, middleware } = served(journal)
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ annotations, logLevel, message }) => {
        logs.push([
          logLevel.label,
          String(message),
          [...annotations].map(([name, value]) => `${name}=${String(value)}`)
        ])
      })
    )
    const serving = middleware === undefined ? Platform.serve(app) : Platform.serve(app as never, middleware)
    const context = yield* Layer.build(Layer.provideMerge(layer(serving as Layer.Layer<never>), serverLayer)).pipe(
      Effect.provide(Layer.merge(logger, Logger.minimumLogLevel(LogLevel.Debug)))
    )
    const { address } = yield* Effect.provide(Platform.HttpServer, context)
    assert(address._tag === "TcpAddress")
    const client = yield* connect(address.port)
    yield* client.send(request)
    const response = (yield* client.closed).replace(/Date: .*/, "Date").replace(/formdata-undici-\d+/g, "boundary")
    // The fiber of a request ends after its response.
    yield* eventually("every entry", Effect.sync(() => journal.length), (length) => length >= entries, 5000)
    yield* Effect.repeatN(Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))), 20)
    return {
      response,
      journal: journal.map((entry) =>
        typeof entry === "object" && entry !== null && "spanId" in entry ? describeSpan(entry as never) : entry
      ),
      logs: [...logs]
    }
  }).pipe(Effect.scoped)

describe("HttpServer handles requests as NodeHttpServer does", () => {
  const ours = Layer.scoped(HttpServer.HttpServer, HttpServer.make(() => createServer(), { ...anyPort, idleLinger: 0 }))
  const platforms = NodeHttpServer.layerServer(() => createServer(), { port: 0, host: "127.0.0.1" })
  for (const [name, request, served] of cases) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const expected = yield* observe(platforms, request, served)
        assert.deepStrictEqual(yield* observe(ours, request, served), expected)
      }))
  }
})
