/**
 * The page at `/`: the files that `npm run build` makes of the folder `page`.
 */
import { FileSystem, HttpApiBuilder, HttpServerRequest, HttpServerResponse, Path } from "@effect/platform"
import { Context, Effect, Option } from "effect"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"

/** Where the built page is. */
export class PageFolder extends Context.Reference<PageFolder>()("importer/PageFolder", {
  /** Beside this module, or beside the bundle of it. */
  defaultValue: () => fileURLToPath(new URL("page", import.meta.url))
}) {}

interface File {
  readonly path: `/${string}`
  readonly contentType: string
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

const contentTypes: { readonly [extension: string]: string } = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml"
}

/** The page loads what this service serves, and nothing else; nothing may frame it. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join("; ")

const pageHeaders = {
  // The page names its assets by their content: it is asked for each time, and they never again.
  "cache-control": "no-cache",
  "content-security-policy": contentSecurityPolicy,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

const assetHeaders = {
  "cache-control": "public, max-age=31536000, immutable",
  "x-content-type-options": "nosniff"
}

const read = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* PageFolder
  const names = yield* fs.readDirectory(path.join(folder, "assets"))
  const assets = yield* Effect.forEach(
    names,
    (name) =>
      Effect.map(fs.readFile(path.join(folder, "assets", name)), (body): File => ({
        path: `/assets/${name}`,
        contentType: contentTypes[path.extname(name).slice(1)] ?? "application/octet-stream",
        body,
        headers: assetHeaders
      }))
  )
  const body = yield* fs.readFile(path.join(folder, "index.html"))
  const page: File = { path: "/", contentType: "text/html; charset=utf-8", body, headers: pageHeaders }
  return [page, ...assets]
})

const respond = ({ body, contentType, headers }: File) => {
  const etag = `"${createHash("sha256").update(body).digest("base64url")}"`
  const options = { headers: { ...headers, etag } }
  const found = HttpServerResponse.uint8Array(body, { ...options, contentType })
  const unchanged = HttpServerResponse.empty({ ...options, status: 304 })
  return Effect.map(
    HttpServerRequest.HttpServerRequest,
    (request) => request.headers["if-none-match"] === etag ? unchanged : found
  )
}

const notBuilt = HttpServerResponse.unsafeJson({
  _tag: "PageNotBuilt",
  message: "the page is not built: npm run build. The API works, and /docs describes it"
}, { status: 404 })

/** Reads the files once: they do not change while the process runs. */
export const PageLive = HttpApiBuilder.Router.use((router) =>
  Effect.gen(function*() {
    const files = yield* Effect.option(read)
    if (Option.isNone(files)) return yield* router.get("/", notBuilt)
    yield* Effect.forEach(files.value, (file) => router.get(file.path, respond(file)), { discard: true })
  })
)
