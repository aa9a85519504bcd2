/** A response without a body, written to a socket past its HTTP parser, after which the connection closes. */
const plain = (status: string, ...headers: ReadonlyArray<string>): string =>
  [`HTTP/1.1 ${status}`, "Connection: close", "Content-Length: 0", ...headers, "", ""].join("\r\n")

export const requestTimeout = plain("408 Request Timeout")
export const headersTooLarge = plain("431 Request Header Fields Too Large")
export const serviceUnavailable = plain("503 Service Unavailable", "Retry-After: 1")
