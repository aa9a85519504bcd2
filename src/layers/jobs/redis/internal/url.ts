import { Either, Redacted, Schema } from "effect"
import { misencoded } from "../../../../core/internal/urlCredentials.js"

/**
 * Why the first connection failed. The message is for people: it names the place, and never a password.
 *
 * @since 0.1.0
 * @category errors
 */
export class RedisError extends Schema.TaggedError<RedisError>()("RedisError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable"),
  message: Schema.String
}) {}

/** The server and database that a URL names. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly db: number
  readonly tls: boolean
  /** Names the place without the password. */
  readonly label: string
}

const expected = "expected redis://user:password@host:port/number, or rediss:// for TLS"

const invalid = (what: string) =>
  Either.left(new RedisError({ reason: "InvalidUrl", message: `The Redis URL ${what}: ${expected}.` }))

const text = (encoded: string) => encoded === "" ? undefined : decodeURIComponent(encoded)

/** Error messages never repeat the URL: it may hold a password, also in an unexpected place. */
export const parseUrl = (redacted: Redacted.Redacted): Either.Either<Target, RedisError> => {
  const given = Redacted.value(redacted).trim()
  if (given === "") return invalid("is empty")
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(given)?.[1]?.toLowerCase()
  if (scheme === undefined) return invalid("has no scheme")
  if (scheme !== "redis" && scheme !== "rediss") return invalid(`has the scheme ${scheme}://`)
  const wrong = misencoded(given)
  if (wrong !== undefined) return invalid(wrong)
  try {
    const url = new URL(given)
    const db = /^\/?(\d{0,5})$/.exec(url.pathname)?.[1]
    if (url.hostname === "") return invalid("names no host")
    if (db === undefined) return invalid("names a database that is no number")
    const host = url.hostname.replace(/^\[|\]$/g, "")
    const port = url.port === "" ? 6379 : Number(url.port)
    return Either.right({
      host,
      port,
      username: text(url.username),
      password: text(url.password),
      db: Number(db),
      tls: scheme === "rediss",
      label: `Redis at ${url.hostname}:${port}${db === "" || db === "0" ? "" : `, database ${db}`}`
    })
  } catch {
    return invalid("is no valid URL (special characters in the user or the password must be percent-encoded)")
  }
}
