/** A connection to a server that repeats messages by itself while the event loop is blocked. */
import { Deferred, Duration, Effect, Exit, FiberId, Option, type Scope } from "effect"
import { Duplex } from "node:stream"
import { Worker } from "node:worker_threads"
import { processes } from "../Host.js"
import { backoff } from "./backoff.js"
import { bounded } from "./bounded.js"
import { errorMessage } from "./errorMessage.js"
import { threadProgram } from "./threadProgram.js"
import { makeThreadSlots } from "./threadSlots.js"

/** How a socket is encrypted: the options of `tls.connect` without the name of the server, after `request` was answered with the byte `accepts` if there is one. */
export interface Secure {
  readonly options: object
  readonly request?: Uint8Array
  readonly accepts?: number
}

/** A socket that is on the thread. It has what drivers use of `net.Socket`. */
export class ThreadSocket extends Duplex {
  constructor(
    readonly id: number,
    private readonly post: (message: object) => void,
    private readonly secure: Secure | undefined
  ) {
    super()
  }

  connect(portOrPath: number | string, host?: string): this {
    const place = typeof portOrPath === "number" ? { port: portOrPath, host } : { path: portOrPath }
    // The thread has no environment.
    const secure = this.secure &&
      { ...this.secure, options: { rejectUnauthorized: processes.verifiesTls(), ...this.secure.options } }
    this.post({ type: "connect", id: this.id, place, secure })
    return this
  }

  setNoDelay = () => this
  setKeepAlive = () => this
  ref = () => this
  unref = () => this

  override _read() {}

  override _write(data: Buffer, _: BufferEncoding, done: () => void) {
    this.post({ type: "write", id: this.id, data })
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void) {
    this.post({ type: "destroy", id: this.id })
    done(error)
  }

  /** What the thread says about this socket. */
  receive(type: string, value: unknown) {
    if (type === "data") this.push(Buffer.from(value as Uint8Array))
    else if (type === "lost" || type === "refused") this.destroy(new Error(String(value)))
    else this.emit(type)
  }
}

/** Messages that are repeated while the event loop is blocked, from a moment after it was. */
interface Repeater {
  /** Has the messages name this text until the returned function is called. None is sent while there are no texts. */
  readonly hold: (text: string) => () => void
  /** Has no message be sent later than this from now. */
  readonly limit: (within: Duration.Duration) => void
}

export interface ThreadConnection {
  readonly repeat: (options: {
    /** What `encode` of the protocol makes a message of. */
    readonly message: unknown
    readonly every: Duration.Duration
    /** For how long a loop may be blocked at most. */
    readonly longest: Duration.Duration
  }) => Effect.Effect<Repeater, never, Scope.Scope>
}

const nothing: Repeater = { hold: () => () => undefined, limit: () => undefined }

/**
 * Starts the thread, and connects it until the scope closes. Waits for the first attempt, and never fails: without a thread or a
 * connection nothing is repeated, and a warning says so.
 */
export const makeThreadConnection = (options: {
  /** What cannot be done without it, for the warning. */
  readonly purpose: string
  /** See `threadProgram`. */
  readonly protocol: string
  /** How long an attempt to connect may take. */
  readonly within: Duration.Duration
  /** Completes when the socket that `open` makes is connected, authenticated and waits for messages. */
  readonly connect: (open: (secure: Secure | undefined) => ThreadSocket) => Effect.Effect<void, unknown>
}): Effect.Effect<ThreadConnection, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { connect, protocol, purpose, within } = options
    const warn = (error: unknown) => Effect.logWarning(`${purpose}: ${errorMessage(error)}`)
    const started = yield* Effect.either(Effect.acquireRelease(
      Effect.try({
        try: () => {
          const worker = new Worker(threadProgram(protocol), { eval: true, env: {}, execArgv: [] })
          worker.unref()
          return worker
        },
        catch: (error) => error
      }),
      (worker) => Effect.promise(() => worker.terminate())
    ))
    if (started._tag === "Left") {
      yield* warn(started.left)
      return { repeat: () => Effect.succeed(nothing) }
    }
    const worker = started.right
    const post = (message: object) => worker.postMessage(message)
    let ids = 0
    let socket: ThreadSocket | undefined
    worker.on("message", ({ id, type, value }: { id: number; type: string; value: unknown }) => {
      if (type === "ask") post({ type: "answer" })
      else if (socket?.id === id) socket.receive(type, value)
    })
    // Anything may be thrown, as newer types of Node say.
    worker.on("error", (error: unknown) =>
      socket?.destroy(error instanceof Error ? error : new Error(errorMessage(error))))

    const firstAttempt = Deferred.unsafeMake<void>(FiberId.none)
    let warned: string | undefined
    /** Fails when the connection cannot be made, or is lost. */
    const keepConnected = Effect.gen(function*() {
      const lost = Deferred.unsafeMake<never, Error>(FiberId.none)
      const open = (secure: Secure | undefined) => {
        const own = new ThreadSocket(++ids, post, secure)
        own.on("error", (error) =>
          Deferred.unsafeDone(lost, Exit.fail(error)))
        own.on("close", () => Deferred.unsafeDone(lost, Exit.fail(new Error("the connection ended"))))
        return socket = own
      }
      const exit = yield* bounded({ within })(Effect.raceFirst(connect(open), Deferred.await(lost)))
      if (Option.isNone(exit)) return yield* Effect.fail(new Error("the server does not answer"))
      yield* exit.value
      post({ type: "ready", id: ids })
      yield* Deferred.succeed(firstAttempt, void 0)
      return yield* Deferred.await(lost)
    }).pipe(
      Effect.ensuring(Effect.sync(() => socket?.destroy())),
      Effect.tapError((error) => {
        const message = errorMessage(error)
        if (warned === message) return Effect.void
        warned = message
        return warn(error)
      }),
      Effect.ensuring(Deferred.succeed(firstAttempt, void 0))
    )
    yield* Effect.forkScoped(Effect.interruptible(Effect.retry(keepConnected, backoff("5 seconds"))))
    yield* Deferred.await(firstAttempt)

    let keys = 0
    return {
      repeat: ({ every, longest, message }) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const key = ++keys
            post({ type: "add", key, message, every: Duration.toMillis(every), longest: Duration.toMillis(longest) })
            return {
              key,
              hold: makeThreadSlots((memory) => post({ type: "slot", key, memory })),
              limit: (within: Duration.Duration) => post({ type: "limit", key, within: Duration.toMillis(within) })
            }
          }),
          ({ key }) => Effect.sync(() => post({ type: "remove", key }))
        )
    }
  })
