import type { HttpServer } from "@effect/platform"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { type Clock, Effect } from "effect"
import * as Net from "node:net"

/**
 * Where a server listens: what `net.Server.listen` takes, and sockets that the process inherits.
 *
 * A socket that outlives the process is what makes a restart fail no request: new connections wait in it meanwhile.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListenOptions extends Net.ListenOptions {
  /**
   * The file descriptor of a bound socket that the process has inherited from its parent, 3 or more. It takes the place of
   * `port`, `host` and `path`. None by default.
   */
  readonly fd?: number | undefined
  /**
   * Takes the socket that systemd passed to this process (`LISTEN_FDS`, see sd_listen_fds(3)): the only one, or the one of
   * this name (`FileDescriptorName=`). A process that was passed none listens as the other options say, so one
   * configuration serves both. `false` by default, because a process may have servers that no socket is meant for.
   */
  readonly socketActivation?: boolean | string | undefined
}

const placeOf = (options: ListenOptions): string => {
  if (options.fd !== undefined) return `file descriptor ${options.fd}`
  if (options.path !== undefined) return options.path
  return options.host === undefined ? `port ${options.port}` : `${bracketIPv6(options.host)}:${options.port}`
}

const bracketIPv6 = (host: string): string => host.includes(":") ? `[${host}]` : host

const explain = (code: string | undefined, options: ListenOptions): string | undefined => {
  if (options.fd !== undefined) {
    return "it is not a socket that this process has inherited. Have the parent process bind it, and pass it under this " +
      "number, from 3 up."
  }
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
      return undefined
  }
}

/**
 * The server cannot listen. A `ServeError`, as `NodeHttpServer` fails with, whose message is one line: where the server
 * should listen, why it cannot, and what to do about it.
 *
 * @since 0.1.0
 * @category errors
 */
export class ListenError extends HttpServerError.ServeError {
  override readonly message: string
  constructor(place: string, cause: unknown, explanation: string) {
    super({ cause })
    this.message = `Cannot listen on ${place}: ${explanation}`
  }
}

const listenError = (options: ListenOptions, cause: unknown) => {
  const error = cause as NodeJS.ErrnoException
  return new ListenError(placeOf(options), cause, explain(error.code, options) ?? error.message)
}

export const listen = (
  server: Net.Server,
  options: ListenOptions
): Effect.Effect<HttpServer.Address, HttpServerError.ServeError> =>
  Effect.async<void, HttpServerError.ServeError>((resume) => {
    const end = (effect: Effect.Effect<void, HttpServerError.ServeError>) => {
      server.off("error", onError)
      server.off("listening", onListening)
      resume(effect)
    }
    const onError = (cause: unknown) => end(Effect.fail(listenError(options, cause)))
    const onListening = () => end(Effect.void)
    server.on("error", onError)
    server.on("listening", onListening)
    try {
      // Node would close standard input or output with the server.
      if (options.fd !== undefined && options.fd < 3) throw new Error("a standard stream")
      server.listen(options)
    } catch (cause) {
      onError(cause)
    }
    // Interrupted while a host name is looked up: the server would listen afterwards.
    return Effect.sync(() => server.once("listening", () => server.close()))
  }).pipe(Effect.map(() => addressOf(server)))

const addressOf = (server: Net.Server): HttpServer.Address => {
  const address = server.address()!
  return typeof address === "string"
    ? { _tag: "UnixAddress", path: address }
    : { _tag: "TcpAddress", hostname: address.address === "::" ? "0.0.0.0" : address.address, port: address.port }
}

/** As the platform's `formatAddress`, with the brackets that a URL needs around an IPv6 address. */
export const urlOf = (address: HttpServer.Address): string =>
  address._tag === "UnixAddress"
    ? `unix://${address.path}`
    : `http://${bracketIPv6(address.hostname)}:${address.port}`

/** An iteration of the event loop that took fewer milliseconds had nothing to do. */
const shortIteration = 0.5

/** Iterations without a connection after which the listener closes, where every iteration is long. */
const maxLongIterations = 4

/**
 * Iterations after which the listener closes in any case: a flood of connections may leave no quiet one. It is a count
 * and not a time, because time also passes while the process is paused, and connections gather meanwhile.
 */
const maxIterations = 200

/**
 * Refuses new connections, and leaves the open ones alone. It calls `net.Server.close`, which `http.Server.close`
 * overrides on every Node: that also closes idle connections, where a request may be on its way, and stops enforcing the
 * timeouts of request heads.
 *
 * Closing a listener resets the connections that the kernel has accepted and Node has not, and Node 20 accepts one in
 * each iteration of its event loop. So this waits for an iteration without a connection. `onStopped` runs in the same
 * tick as the close.
 */
export const stopListening = (server: Net.Server, onStopped: () => void = () => {}): Effect.Effect<void> =>
  Effect.clockWith((clock) => closeWhenQuiet(server, onStopped, clock))

const closeWhenQuiet = (server: Net.Server, onStopped: () => void, clock: Clock.Clock): Effect.Effect<void> =>
  Effect.async((resume) => {
    const startedAt = clock.unsafeCurrentTimeNanos()
    const millis = () => Number(clock.unsafeCurrentTimeNanos() - startedAt) / 1e6
    let connections = 0
    let iterations = 0
    let iterationsWithout = 0
    let previous = 0
    let next: NodeJS.Immediate
    const onConnection = () => {
      connections++
    }
    const close = () => {
      server.off("connection", onConnection)
      if (server.listening) Net.Server.prototype.close.call(server)
      onStopped()
      resume(Effect.void)
    }
    const onIteration = () => {
      const now = millis()
      iterationsWithout = connections === 0 ? iterationsWithout + 1 : 0
      const quiet = iterationsWithout > 0 && (now - previous < shortIteration || iterationsWithout > maxLongIterations)
      if (!server.listening || (iterations > 0 && quiet) || iterations > maxIterations) return close()
      connections = 0
      iterations++
      previous = now
      next = setImmediate(onIteration)
    }
    if (!server.listening) return close()
    server.on("connection", onConnection)
    next = setImmediate(onIteration)
    return Effect.sync(() => {
      clearImmediate(next)
      close()
    })
  })
