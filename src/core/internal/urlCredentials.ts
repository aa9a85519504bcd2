/**
 * What in a URL with a user and a password must be percent-encoded and is not, as the end of a sentence; undefined when the URL has one
 * meaning. Never repeats a part of the URL.
 *
 * An unencoded `/`, `?` or `#` in a password ends the part of the URL that has the password. A parser then takes the middle of the
 * password for the host and its end, with the `@`, for the path: `postgres://me:p@ss/w:rd@host/db` is a database "w:rd@host/db" on "ss".
 */
export const misencoded = (url: string): string | undefined => {
  const rest = url.replace(/^[^:]*:\/\//, "")
  const end = rest.search(/[/?#]/)
  if (end >= 0 && rest.slice(end).includes("@")) {
    return "has an @ behind its host (percent-encode the user and the password: / is %2F, ? is %3F, # is %23, @ is %40)"
  }
  if (/%(?![0-9a-f]{2})/i.test(rest)) {
    return "has a % that encodes nothing (percent-encode the user and the password: % is %25)"
  }
  if (/\s/.test(rest)) return "has white space in it (percent-encode the user and the password: a space is %20)"
  return undefined
}
