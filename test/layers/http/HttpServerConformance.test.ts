import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpLayerRouter, HttpRouter } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel, type Scope } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server as NodeServer } from "node:http"
import { createServer as createSecureServer } from "node:https"
import type { ListenOptions } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import type { App, Serve } from "../../conformance/http/connectionCase.js"
import { connections } from "../../conformance/http/connections.js"
import { incomplete } from "../../conformance/http/incomplete.js"
import { probes } from "../../conformance/http/probes.js"
import { requests } from "../../conformance/http/requests.js"
import { streams } from "../../conformance/http/streams.js"
import { timeouts } from "../../conformance/http/timeouts.js"
import { upgrades } from "../../conformance/http/upgrades.js"
import { webSockets } from "../../conformance/http/webSockets.js"
import { certificate, key } from "../../fixtures/http/certificate.js"
import { connect, type Destination } from "../../fixtures/http/client.js"
import { drained } from "../../fixtures/http/drained.js"
import { anyPort, portOf, start } from "../../fixtures/http/serving.js"

const cases = [
  ...requests,
  ...connections,
  ...streams,
  ...webSockets,
  ...upgrades,
  ...timeouts,
  ...incomplete,
  ...probes
]

/** Cases that hold for any Node server. The others are about probes, WebSockets of the platform, and handlers that are fibers. */
const casesOfAnyServer = cases.filter(({ situation }) =>
  [...requests, ...connections].some((_) => _.situation === situation)
    ? !/says close$|leaves behind/.test(situation)
    : /^(a large response|a stream of a declared length|an event stream (that ends|with a last))|`h2c`/.test(situation)
)

class Api extends HttpApi.make("api").add(
  HttpApiGroup.make("all").add(HttpApiEndpoint.get("get", "/*")).add(HttpApiEndpoint.post("post", "/*"))
) {}

type AppLayer = Layer.Layer<never, never, Layer.Layer.Success<ReturnType<typeof HttpServer.layer>>>

const apps = {
  "an app without a router": (app: App): AppLayer => HttpServer.serve(app),
  HttpRouter: (app: App): AppLayer =>
    HttpRouter.empty.pipe(HttpRouter.all("/*", app), Effect.orDie, HttpServer.serve()),
  HttpLayerRouter: (app: App): AppLayer => HttpLayerRouter.serve(HttpLayerRouter.add("*", "/*", app)),
  HttpApi: (app: App): AppLayer =>
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
  readonly destinationOf: (address: HttpServer.Address) => Destination
}

const transports = {
  TCP: {
    create: () => createServer(),
    listen: Effect.succeed(anyPort),
    destinationOf: (address) => portOf({ address })
  },
  TLS: {
    create: () => createSecureServer({ key, cert: certificate }),
    listen: Effect.succeed(anyPort),
    destinationOf: (address) => ({ port: portOf({ address }), tls: true })
  },
  "a Unix socket": {
    create: () => createServer(),
    listen: Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "lastcall-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(Effect.map((folder) => ({ path: join(folder, "socket") }))),
    destinationOf: (address) => ({ path: address._tag === "UnixAddress" ? address.path : "" })
  }
} satisfies Record<string, Transport>

/** Milliseconds: short, to keep the suite fast. Cases in which one of them must not expire set their own. */
const shortTimeouts: HttpServer.DrainOptions = { idleLinger: 60, stallTimeout: 200, streamTimeout: 200 }

const serveOver = (transport: Transport, appLayer: (app: App) => AppLayer): Serve => (app, options) =>
  Effect.gen(function*() {
    const listen = yield* transport.listen
    const serverLayer = Layer.orDie(HttpServer.layer(transport.create, { ...listen, ...shortTimeouts, ...options }))
    const server = yield* start(Layer.provideMerge(appLayer(app), serverLayer))
    return { ...server, connect: connect(transport.destinationOf(server.address)) }
  })

const serveDrained: Serve = (app, options) =>
  Effect.map(
    start(drained(app, { ...shortTimeouts, ...options })),
    (server) => ({ ...server, connect: connect(server.port) })
  )

describe.concurrent("HttpServer, connection by connection", () => {
  const combinations: ReadonlyArray<readonly [keyof typeof apps, keyof typeof transports]> = [
    ["HttpApi", "TCP"],
    ["HttpRouter", "TCP"],
    ["HttpLayerRouter", "TCP"],
    ["an app without a router", "TLS"],
    ["an app without a router", "a Unix socket"]
  ]

  for (const [app, transport] of combinations) {
    describe.concurrent(`${app} over ${transport}`, () => {
      for (const { behavior, situation, test } of cases) {
        it.scopedLive(`${situation}: ${behavior}`, () =>
          test(serveOver(transports[transport], apps[app])).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
      }
    })
  }

  describe.concurrent("a Node server under HttpServer.drain", () => {
    for (const { behavior, situation, test } of casesOfAnyServer) {
      it.scopedLive(`${situation}: ${behavior}`, () =>
        test(serveDrained).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
    }
  })

  const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")
  const rows = read("../../../docs/http.md").split("\n").filter((line) => line.startsWith("| "))

  it("the tables of HTTP/1.1 in docs/http.md list the cases of this suite", () => {
    const expected = cases.map(({ behavior, situation }) => `| ${situation} | ${behavior} |`)
    assert.deepStrictEqual(rows.filter((row) => expected.includes(row)), expected)
  })

  it("the table of HTTP/2 in docs/http.md lists the tests of HTTP/2", () => {
    const tests = read("./HttpServerHttp2.test.ts") + read("./HttpServerHttp2Endings.test.ts")
    const titles = Array.from(tests.matchAll(/it\.scoped(?:Live)?\("(.+)", /g), ([, title]) => title!)
    const shown = rows.map((row) => row.replace(/^\| (.+) \| (.+) \|$/, "$1: $2"))
    const first = shown.indexOf(titles[0]!)
    assert.deepStrictEqual(shown.slice(first, first + titles.length), titles)
  })
})
