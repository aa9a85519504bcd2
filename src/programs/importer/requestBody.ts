/**
 * The body of an upload: its format, and its bytes as they arrive.
 */
import type { HttpServerRequest } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Either, Stream } from "effect"
import type { Readable } from "node:stream"
import type { Format } from "./Domain.js"
import { BodyTooLarge, UnsupportedContentType, UploadAborted } from "./Errors.js"

/**
 * Reads the rest of a body and drops it. Closing the connection in the middle of a request would reset it, and the client would not see
 * the response. After twice the limit the connection is closed all the same.
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
 * The body up to `limit` bytes; a longer one is an error, with or without a `Content-Length`. The response may be sent before all of the
 * body has been read.
 */
export const readBody = (
  request: HttpServerRequest.HttpServerRequest,
  limit: number
): Stream.Stream<Uint8Array, BodyTooLarge | UploadAborted> =>
  Stream.unwrap(Effect.sync(() => {
    const incoming = NodeHttpServerRequest.toIncomingMessage(request)
    const aborted = new UploadAborted({
      message: "the upload was aborted before the end of the body; nothing of it is kept"
    })
    let size = 0
    return NodeStream.fromReadable<UploadAborted, Uint8Array>(() => incoming, () => aborted, { closeOnDone: false })
      .pipe(
        Stream.tap((bytes) => {
          size += bytes.length
          return size > limit ? bodyTooLarge(limit) : Effect.void
        }),
        Stream.concat(Stream.execute(Effect.suspend(() => incoming.complete ? Effect.void : aborted))),
        Stream.ensuring(Effect.sync(() => {
          if (!incoming.complete && !incoming.destroyed) discard(incoming, limit)
        }))
      )
  }))

export const bodyTooLarge = (limit: number) =>
  new BodyTooLarge({ message: `the body is larger than the limit of ${limit} bytes`, limit })

const formats: { readonly [type: string]: Format } = {
  "text/csv": "csv",
  "application/csv": "csv",
  "application/x-ndjson": "ndjson",
  "application/ndjson": "ndjson",
  "application/jsonl": "ndjson",
  "application/x-jsonlines": "ndjson"
}

const unsupported = (message: string) => Either.left(new UnsupportedContentType({ message }))

/** The format of a body, by the headers of its request. */
export const formatOf = (headers: {
  readonly "content-type"?: string | undefined
  readonly "content-encoding"?: string | undefined
}): Either.Either<Format, UnsupportedContentType> => {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";").map((part) => part.trim())
  const format = Object.hasOwn(formats, type) ? formats[type] : undefined
  if (format === undefined) {
    return unsupported(`expected the content type text/csv or application/x-ndjson, but received "${type}"`)
  }
  const charset = parameters.map((part) => /^charset\s*=\s*"?([^"]*)"?$/.exec(part)?.[1]).find((found) =>
    found !== undefined
  )
  if (charset !== undefined && !["utf-8", "utf8", "us-ascii"].includes(charset)) {
    return unsupported(`expected UTF-8, but received the charset "${charset}"`)
  }
  const encoding = headers["content-encoding"]?.trim().toLowerCase() ?? ""
  return encoding === "" || encoding === "identity"
    ? Either.right(format)
    : unsupported(`expected a body without content encoding, but received "${encoding}"`)
}
