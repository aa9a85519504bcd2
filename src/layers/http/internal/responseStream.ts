import * as NodeStream from "@effect/platform-node/NodeStream"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Exit, Stream } from "effect"
import type { Readable } from "node:stream"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import type { Http1Exchange } from "./http1.js"
import { yieldToEventLoop } from "./timeoutQueue.js"

type Response = HttpServerResponse.HttpServerResponse

/** The Node stream that is the body of a response, if it is one. */
const readableOf = ({ body }: Response): Readable | undefined =>
  body._tag === "Raw" && typeof body.body === "object" && body.body !== null && "pipe" in body.body
    ? body.body as Readable
    : undefined

/** The body of the response is produced while it is sent. */
export const isStreamed = (response: Response): boolean =>
  response.body._tag === "Stream" || readableOf(response) !== undefined

const isEventStream = ({ headers }: Response) => headers["content-type"]?.startsWith("text/event-stream") === true

const hasLength = ({ body, headers }: Response) =>
  body.contentLength !== undefined || headers["content-length"] !== undefined

/**
 * Makes a streamed response known to the policy. An event stream ends when the policy requests it; any other one is reset
 * if its stream fails, or is interrupted.
 */
export const drainable = (policy: ConnectionDrainPolicy, exchange: Http1Exchange, response: Response): Response => {
  if (isEventStream(response)) {
    exchange.eventStream = true
    policy.onStream(exchange)
    return withStream(response, Stream.interruptWhen(streamOf(response), endRequested(exchange)))
  }
  if (!hasLength(response)) policy.onStream(exchange)
  const reset = () => exchange.reset()
  const readable = readableOf(response)
  if (readable === undefined) {
    return withStream(
      response,
      Stream.ensuringWith(streamOf(response), (exit) => Exit.isSuccess(exit) ? Effect.void : Effect.sync(reset))
    )
  }
  // Before NodeHttpServer's own listener, which destroys the response.
  readable.once("error", reset)
  return response
}

const streamOf = (response: Response): Stream.Stream<Uint8Array, unknown> =>
  response.body._tag === "Stream"
    ? response.body.stream
    : NodeStream.fromReadable<unknown, Uint8Array>(() => readableOf(response)!, (error) => error)

const withStream = (response: Response, stream: Stream.Stream<Uint8Array, unknown>): Response =>
  HttpServerResponse.setBody(
    response,
    HttpBody.stream(stream, response.body.contentType, response.body.contentLength)
  )

/**
 * Completes when the exchange should end, unless its handler waits for `Shutdown.draining`: then it ends by itself. A
 * handler that has just begun gets an iteration of the event loop to do so.
 */
const endRequested = (exchange: Http1Exchange): Effect.Effect<void> =>
  exchange.closeRequest.pipe(
    Effect.zipRight(yieldToEventLoop),
    Effect.zipRight(Effect.suspend(() => exchange.awaitsDraining > 0 ? Effect.never : Effect.void))
  )
