import { Either, Redacted } from "effect"
import pg from "pg"
import { DatabaseError } from "../contract.js"

/** Where a URL leads. `label` says so without the password. */
export type Target =
  | { readonly _tag: "Pglite"; readonly folder: string | undefined }
  | { readonly _tag: "Postgres"; readonly url: string; readonly label: string }

const invalid = (message: string) => Either.left(new DatabaseError({ reason: "InvalidUrl", message }))

const expected = "expected postgres://user:password@host:port/database, pglite:./folder or pglite:memory"

const postgres = (url: string): Either.Either<Target, DatabaseError> => {
  try {
    // Nothing connects here: this is the parser that the pool will use, its complaints repeat the password.
    const { database, host, port, user } = new pg.Client({ connectionString: url })
    return Either.right({ _tag: "Postgres", url, label: `${host}:${port}, database "${database ?? user}"` })
  } catch {
    return invalid(
      `The database URL is no valid postgres:// URL: ${expected}. ` +
        "Special characters in the user or the password must be percent-encoded."
    )
  }
}

/** Messages never repeat the URL: it may hold a password, also where nobody expects one. */
export const parseUrl = (redacted: Redacted.Redacted): Either.Either<Target, DatabaseError> => {
  const url = Redacted.value(redacted).trim()
  if (url === "") return invalid(`The database URL is empty: ${expected}.`)
  if (/^postgres(ql)?:\/\//i.test(url)) return postgres(url)
  const pglite = /^pglite:(?:\/\/)?(.*)$/i.exec(url)
  if (pglite === null) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)
    return invalid(
      scheme === null
        ? `The database URL has no scheme: ${expected}.`
        : `No database speaks ${scheme[1]}://: ${expected}.`
    )
  }
  const folder = pglite[1]?.trim() ?? ""
  if (folder === "") return invalid(`The database URL names no folder: ${expected}.`)
  return Either.right({ _tag: "Pglite", folder: folder === "memory" ? undefined : folder })
}
