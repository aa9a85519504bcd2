import { createHash } from "node:crypto"

/** The longest token in a subject. The server limits a whole protocol line to 4,096 bytes. */
const longest = 1_000

/**
 * An id or the name of a queue as one token of a subject: letters, digits, `_` and `-` as they are, everything else
 * percent-encoded. A longer one is its hash, and then says nothing of the id.
 */
export const encodeToken = (text: string): string => {
  if (text === "") return "%"
  const encoded = encodeURIComponent(text).replace(/[.!~*'()]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)
  return encoded.length <= longest ? encoded : `%%${createHash("sha256").update(text).digest("hex")}`
}

/** The id, or nothing when the token is a hash, or was not made by `encodeToken` and cannot be decoded. */
export const decodeToken = (token: string): string | undefined => {
  if (token === "%") return ""
  if (token.startsWith("%%")) return undefined
  try {
    return decodeURIComponent(token)
  } catch {
    return undefined
  }
}
