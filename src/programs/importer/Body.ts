/**
 * The body of a request, read as it comes.
 */
import type { HttpServerRequest } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"
import type { Readable } from "node:stream"
import { BodyTooLarge, UploadAborted } from "./Errors.js"

/**
 * Lets what is still coming run into the void. To hang up in the middle of a request would reset the connection, and the
 * client would never see why it was refused. After twice the limit it is hung up on all the same.
 */
const discard = (body: Readable, limit: number) => {
  let discarded = 0
  body.on("error", () => undefined)
  body.on("data", (bytes: Uint8Array) => {
    discarded += bytes.length
    if (discarded > limit) body.destroy()
  })
}

/**
 * The body up to `limit` bytes; more than that is an error, with or without a `Content-Length`. The answer may be sent
 * before all of the body has been read.
 */
export const body = (
  request: HttpServerRequest.HttpServerRequest,
  limit: number
): Stream.Stream<Uint8Array, BodyTooLarge | UploadAborted> =>
  Stream.unwrap(Effect.sync(() => {
    const incoming = NodeHttpServerRequest.toIncomingMessage(request)
    const aborted = new UploadAborted({ message: "the body did not come to its end" })
    let size = 0
    return NodeStream.fromReadable<UploadAborted, Uint8Array>(() => incoming, () => aborted, { closeOnDone: false })
      .pipe(
        Stream.tap((bytes) => {
          size += bytes.length
          return size > limit ? tooLarge(limit) : Effect.void
        }),
        Stream.concat(Stream.execute(Effect.suspend(() => incoming.complete ? Effect.void : aborted))),
        Stream.ensuring(Effect.sync(() => {
          if (!incoming.complete && !incoming.destroyed) discard(incoming, limit)
        }))
      )
  }))

export const tooLarge = (limit: number) =>
  new BodyTooLarge({ message: `the body is larger than ${limit} bytes`, limit })
