import { Either } from "effect"
import type { Format } from "./Domain.js"
import { UnsupportedContentType } from "./Errors.js"

const formats: { readonly [type: string]: Format } = {
  "text/csv": "csv",
  "application/csv": "csv",
  "application/x-ndjson": "ndjson",
  "application/ndjson": "ndjson",
  "application/jsonl": "ndjson",
  "application/x-jsonlines": "ndjson"
}

const refused = (message: string) => Either.left(new UnsupportedContentType({ message }))

/** What a body is, by the headers of its request. */
export const formatOf = (headers: {
  readonly "content-type"?: string | undefined
  readonly "content-encoding"?: string | undefined
}): Either.Either<Format, UnsupportedContentType> => {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";").map((part) => part.trim())
  const format = Object.hasOwn(formats, type) ? formats[type] : undefined
  if (format === undefined) return refused(`expected text/csv or application/x-ndjson, but received "${type}"`)
  const charset = parameters.map((part) => /^charset\s*=\s*"?([^"]*)"?$/.exec(part)?.[1]).find((found) =>
    found !== undefined
  )
  if (charset !== undefined && !["utf-8", "utf8", "us-ascii"].includes(charset)) {
    return refused(`expected UTF-8, but received the charset "${charset}"`)
  }
  const encoding = headers["content-encoding"]?.trim().toLowerCase() ?? ""
  return encoding === "" || encoding === "identity"
    ? Either.right(format)
    : refused(`expected a body as it is, but received the content encoding "${encoding}"`)
}
