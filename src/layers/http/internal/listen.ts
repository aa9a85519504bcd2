import type { HttpServer } from "@effect/platform"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { Effect } from "effect"
import type * as Net from "node:net"

const place = (options: Net.ListenOptions): string => {
  if (options.path !== undefined) return options.path
  if (options.host === undefined) return `port ${options.port}`
  return `${options.host.includes(":") ? `[${options.host}]` : options.host}:${options.port}`
}

const advice = (code: string | undefined, options: Net.ListenOptions): string => {
  switch (code) {
    case "EADDRINUSE":
      return options.path === undefined
        ? "it is in use. Stop what listens there, or choose another port."
        : "it is in use. Stop what listens there, or remove the socket file that it left behind."
    case "EACCES":
      return options.path === undefined
        ? "permission denied. Choose a port from 1024 up, or give the process the right to bind this one."
        : "permission denied. Choose a path in a directory that the process may write to."
    case "EADDRNOTAVAIL":
      return "this machine has no such address. Use 127.0.0.1, 0.0.0.0 or an address of one of its interfaces."
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name cannot be resolved. Use 127.0.0.1, 0.0.0.0 or a name that this machine knows."
    case "ERR_SOCKET_BAD_PORT":
      return "a port is a whole number from 0 to 65535."
    default:
      return ""
  }
}

/**
 * The server could not listen: a `ServeError` whose message says where, why, and what to do about it.
 */
export class ListenError extends HttpServerError.ServeError {
  override readonly message: string
  constructor(options: Net.ListenOptions, cause: unknown) {
    super({ cause })
    const error = cause as NodeJS.ErrnoException
    this.message = `Cannot listen on ${place(options)}: ${advice(error.code, options) || error.message}`
  }
}

export const listen = (
  server: Net.Server,
  options: Net.ListenOptions
): Effect.Effect<HttpServer.Address, HttpServerError.ServeError> =>
  Effect.async<void, HttpServerError.ServeError>((resume) => {
    const settle = (effect: Effect.Effect<void, HttpServerError.ServeError>) => {
      server.off("error", failed)
      server.off("listening", listening)
      resume(effect)
    }
    const failed = (cause: unknown) => settle(Effect.fail(new ListenError(options, cause)))
    const listening = () => settle(Effect.void)
    server.on("error", failed)
    server.on("listening", listening)
    try {
      server.listen(options)
    } catch (cause) {
      failed(cause)
    }
    // A host name may still be looked up: it listens after that, and nobody would know.
    return Effect.sync(() => server.once("listening", () => server.close()))
  }).pipe(Effect.map(() => addressOf(server)))

const addressOf = (server: Net.Server): HttpServer.Address => {
  const address = server.address()!
  return typeof address === "string"
    ? { _tag: "UnixAddress", path: address }
    : { _tag: "TcpAddress", hostname: address.address === "::" ? "0.0.0.0" : address.address, port: address.port }
}

/** A name for people: `http://127.0.0.1:3000`, with the brackets that an IPv6 address needs. */
export const formatAddress = (address: HttpServer.Address): string =>
  address._tag === "UnixAddress"
    ? `unix://${address.path}`
    : `http://${address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname}:${address.port}`
