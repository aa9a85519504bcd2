import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpLayerRouter,
  HttpRouter,
  HttpServer as Platform
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel, type Scope } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server as NodeServer } from "node:http"
import { createServer as createSecureServer } from "node:https"
import type { ListenOptions } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { bounds } from "../../conformance/http/bounds.js"
import { connections } from "../../conformance/http/connections.js"
import { requests } from "../../conformance/http/requests.js"
import type { App, Serve } from "../../conformance/http/shape.js"
import { streams } from "../../conformance/http/streams.js"
import { certificate, key } from "../../fixtures/http/certificate.js"
import { connect, type To } from "../../fixtures/http/client.js"
import { free, started } from "../../fixtures/http/serving.js"

const shapes = [...requests, ...connections, ...streams, ...bounds]

class Api extends HttpApi.make("api").add(
  HttpApiGroup.make("all").add(HttpApiEndpoint.get("get", "/*")).add(HttpApiEndpoint.post("post", "/*"))
) {}

type Served = Layer.Layer<never, never, Layer.Layer.Success<ReturnType<typeof HttpServer.layer>>>

const apps = {
  bare: (app: App): Served => Platform.serve(app),
  HttpRouter: (app: App): Served => HttpRouter.empty.pipe(HttpRouter.all("/*", app), Effect.orDie, Platform.serve()),
  HttpLayerRouter: (app: App): Served => HttpLayerRouter.serve(HttpLayerRouter.add("*", "/*", app)),
  HttpApi: (app: App): Served =>
    HttpApiBuilder.serve().pipe(
      Layer.provide(HttpApiBuilder.api(Api)),
      Layer.provide(
        HttpApiBuilder.group(
          Api,
          "all",
          (handlers) => handlers.handleRaw("get", () => app).handleRaw("post", () => app)
        )
      )
    )
}

interface Transport {
  readonly create: () => NodeServer
  readonly listen: Effect.Effect<ListenOptions, never, Scope.Scope>
  readonly to: (address: Platform.Address) => To
}

const portOf = (address: Platform.Address) => address._tag === "TcpAddress" ? address.port : 0

const transports = {
  plain: {
    create: () => createServer(),
    listen: Effect.succeed(free),
    to: portOf
  },
  TLS: {
    create: () => createSecureServer({ key, cert: certificate }),
    listen: Effect.succeed(free),
    to: (address) => ({ port: portOf(address), tls: true })
  },
  "a Unix socket": {
    create: () => createServer(),
    listen: Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "lastcall-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(Effect.map((folder) => ({ path: join(folder, "socket") }))),
    to: (address) => ({ path: address._tag === "UnixAddress" ? address.path : "" })
  }
} satisfies Record<string, Transport>

/** Milliseconds, so that a suite of waits is quick; a test that must not run into one of them says its own. */
const defaults: HttpServer.DrainOptions = { idleLinger: 60, stallTimeout: 200, streamTimeout: 200 }

const serveOver = (transport: Transport, serve: (app: App) => Served): Serve => (app, options) =>
  Effect.gen(function*() {
    const listen = yield* transport.listen
    const server = Layer.orDie(HttpServer.layer(transport.create, { ...listen, ...defaults, ...options }))
    const serving = yield* started(Layer.provideMerge(serve(app), server))
    return { ...serving, connect: connect(transport.to(serving.address)) }
  })

describe.concurrent("what becomes of each shape of connection", () => {
  const worlds: ReadonlyArray<readonly [keyof typeof apps, keyof typeof transports]> = [
    ["HttpApi", "plain"],
    ["HttpRouter", "plain"],
    ["HttpLayerRouter", "plain"],
    ["bare", "TLS"],
    ["bare", "a Unix socket"]
  ]

  for (const [app, transport] of worlds) {
    describe.concurrent(`${app} over ${transport}`, () => {
      for (const { fate, shape, test } of shapes) {
        it.scopedLive(`${shape}: ${fate}`, () =>
          test(serveOver(transports[transport], apps[app])).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
      }
    })
  }

  const here = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")
  const rows = here("../../../docs/http.md").split("\n").filter((line) => line.startsWith("| "))

  it("the tables in docs/http.md are this suite", () => {
    const wanted = shapes.map(({ fate, shape }) => `| ${shape} | ${fate} |`)
    assert.deepStrictEqual(rows.filter((row) => wanted.includes(row)), wanted)
  })

  it("and the one of HTTP/2 is its tests", () => {
    const tests = here("./HttpServerHttp2.test.ts") + here("./HttpServerHttp2Bounds.test.ts")
    const titles = Array.from(tests.matchAll(/it\.scopedLive\("(.+)", /g), ([, title]) => title!)
    const shown = rows.map((row) => row.replace(/^\| (.+) \| (.+) \|$/, "$1: $2"))
    const first = shown.indexOf(titles[0]!)
    assert.deepStrictEqual(shown.slice(first, first + titles.length), titles)
  })
})
