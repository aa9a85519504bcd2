import * as Cookies from "@effect/platform/Cookies"
import * as HttpServerError from "@effect/platform/HttpServerError"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import { Cause, Chunk, Effect, Stream } from "effect"
import type * as Http from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import type { ServerRequest } from "./serverRequest.js"

type ResponseError = HttpServerError.ResponseError

/** Up to this size a body is copied, so that Node writes it together with the head. */
const maxCopied = 16_384

const headersOf = ({ cookies, headers }: HttpServerResponse): Record<string, string | Array<string>> => {
  if (Cookies.isEmpty(cookies)) return headers
  const toSet = Cookies.toSetCookieHeaders(cookies)
  if (headers["set-cookie"] !== undefined) toSet.push(headers["set-cookie"])
  return { ...headers, "set-cookie": toSet }
}

/**
 * Writes a response. With `flushed` the effect completes when the response is sent, otherwise when it is written.
 * Bodies and errors are treated as the platform treats them, whose own function is not exported.
 */
export const respond = (
  request: ServerRequest,
  response: HttpServerResponse,
  flushed: boolean
): Effect.Effect<HttpServerResponse, ResponseError> => {
  const { response: nodeResponse } = request
  if (nodeResponse.writableEnded) return Effect.succeed(response)
  const { body, status } = response
  const write = (data?: unknown, encoding?: BufferEncoding): Effect.Effect<HttpServerResponse> => {
    nodeResponse.writeHead(status, headersOf(response))
    if (!flushed) nodeResponse.end(data, encoding!)
    else return Effect.async((resume) => void nodeResponse.end(data, encoding!, () => resume(Effect.succeed(response))))
    return Effect.succeed(response)
  }
  if (request.method === "HEAD") return write()
  switch (body._tag) {
    case "Empty":
      nodeResponse.writeHead(status, headersOf(response)).end()
      return Effect.succeed(response)
    case "Uint8Array":
      return isCopied(nodeResponse, body.body) ? write(latin1(body.body), "latin1") : write(body.body)
    case "Raw":
      if (!isReadable(body.body)) return write(body.body)
      nodeResponse.writeHead(status, headersOf(response))
      return sent(nodeResponse, response, pipe(request, response, body.body))
    case "FormData": {
      const encoded = new Response(body.formData)
      nodeResponse.writeHead(status, { ...headersOf(response), ...Object.fromEntries(encoded.headers) })
      return sent(nodeResponse, response, pipe(request, response, Readable.fromWeb(encoded.body as never)))
    }
    case "Stream":
      nodeResponse.writeHead(status, headersOf(response))
      return sent(nodeResponse, response, writeStream(nodeResponse, body.stream))
  }
}

/** HTTP/1.1 writes a head with a string at once, and with bytes in two parts. */
const isCopied = ({ req }: Http.ServerResponse, { length }: Uint8Array): boolean =>
  length <= maxCopied && req.httpVersionMajor === 1

const latin1 = ({ buffer, byteLength, byteOffset }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString("latin1")

const isReadable = (body: unknown): body is Readable =>
  typeof body === "object" && body !== null && "pipe" in body && typeof body.pipe === "function"

const pipe = (request: ServerRequest, response: HttpServerResponse, readable: Readable) =>
  Effect.tryPromise({
    try: (signal) => pipeline(readable, request.response, { signal, end: true }),
    catch: (cause) => new HttpServerError.ResponseError({ request, response, reason: "Decode", cause })
  })

const writeStream = (nodeResponse: Http.ServerResponse, stream: Stream.Stream<Uint8Array, unknown>) => {
  const drained = Effect.unsafeMakeLatch()
  nodeResponse.on("drain", () => drained.unsafeOpen())
  const written = Stream.runForEachChunk(Stream.orDie(stream), (chunk) => {
    let writable = true
    for (const bytes of Chunk.toReadonlyArray(chunk)) writable = nodeResponse.write(bytes)
    if (writable) return Effect.void
    drained.unsafeClose()
    return drained.await
  })
  return Effect.zipRight(written, Effect.sync(() => nodeResponse.end()))
}

/** Sends a body that is produced meanwhile: interruptible, as nothing else of a response is. */
const sent = <E>(
  nodeResponse: Http.ServerResponse,
  response: HttpServerResponse,
  body: Effect.Effect<unknown, E>
): Effect.Effect<HttpServerResponse, E> =>
  Effect.matchCauseEffect(Effect.interruptible(body), {
    onSuccess: () => Effect.succeed(response),
    onFailure: (failure) =>
      Effect.flatMap(HttpServerError.causeResponse(failure), ([{ status }, cause]) => {
        const { headersSent } = nodeResponse
        if (!headersSent) nodeResponse.writeHead(status)
        if (!nodeResponse.writableEnded) nodeResponse.end()
        return Effect.failCause(headersSent ? Cause.sequential(failure, Cause.die(response)) : cause)
      })
  })
