import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Socket from "@effect/platform/Socket"
import { type Context, Duration, Effect, type Exit, Fiber, FiberId, FiberRef, Option, Supervisor } from "effect"
import type * as Http from "node:http"
import { bounded } from "../../../core/internal/bounded.js"
import type { Connection } from "./connection.js"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import { type Http1Connection, NodeExchange } from "./http1.js"
import { yieldToEventLoop } from "./timeoutQueue.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Whether the fiber works on a message of a WebSocket. Forks inherit it. */
const ofMessage = FiberRef.unsafeMake(false)

export const isOfMessage = (fiber: AnyFiber): boolean => fiber.getFiberRef(ofMessage)

interface Message {
  readonly fiber: AnyFiber
  /** Something was sent for it while it ran: it is a stream, unless it ends then. */
  replied: boolean
}

/**
 * The messages in flight of a WebSocket: fibers without a parent that were started for a message. The platform starts one
 * for each message, and so does a server of `@effect/rpc` for each call. What a message forks with Effect is not included:
 * it has a parent or a scope, or is a daemon with the server's `daemonTimeout`.
 */
class Messages extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void
  private readonly inFlight = new Map<AnyFiber, Message>()
  /** Of each fiber that works on a message. */
  private readonly messageOf = new WeakMap<AnyFiber, Message>()
  private readonly waiters = new Set<() => void>()

  get size(): number {
    return this.inFlight.size
  }
  override onStart<A, E, R>(
    _context: Context.Context<R>,
    _effect: Effect.Effect<A, E, R>,
    parent: Option.Option<AnyFiber>,
    fiber: Fiber.RuntimeFiber<A, E>
  ): void {
    const message = Option.match(parent, {
      onNone: () => ({ fiber, replied: false }),
      onSome: (parent) => this.messageOf.get(parent)
    })
    if (message === undefined) return
    this.messageOf.set(fiber, message)
    if (message.fiber === fiber) this.inFlight.set(fiber, message)
  }
  override onEnd<A, E>(_exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    if (!this.inFlight.delete(fiber) || this.inFlight.size > 0) return
    const waiters = [...this.waiters]
    this.waiters.clear()
    for (const waiter of waiters) waiter()
  }
  /** The fiber sends something. */
  onReply(fiber: AnyFiber): void {
    const message = this.messageOf.get(fiber)
    if (message !== undefined) message.replied = true
  }
  /** Calls back once none is in flight. Returns how to cancel. */
  whenNone(callback: () => void): () => void {
    if (this.size === 0) callback()
    else this.waiters.add(callback)
    return () => this.waiters.delete(callback)
  }
  readonly awaitNone = Effect.async<void>((resume) => {
    const cancel = this.whenNone(() => resume(Effect.void))
    return Effect.sync(cancel)
  })
  /** Interrupts those that match, and returns whether there are any. */
  interrupt(matches: (message: Message) => boolean): boolean {
    const messages = [...this.inFlight.values()].filter(matches)
    for (const { fiber } of messages) fiber.unsafeInterruptAsFork(FiberId.none)
    return messages.length > 0
  }
}

/** A request for a WebSocket. It is long-lived once its handler has opened it; one that does not gets a response. */
export class UpgradeExchange extends NodeExchange {
  readonly messages = new Messages()
  /** A message that arrives is handled. */
  acceptsMessages = true
  /** While the WebSocket lingers, because a message may be on its way: closes it now. */
  endLinger: (() => void) | undefined = undefined
  private interrupting = false

  constructor(connection: Connection, request: Http.IncomingMessage) {
    super(connection, request, true, false)
  }
  get isUpgrade(): boolean {
    return true
  }
  get connected(): boolean {
    const { readable, writable } = (this.connection as Http1Connection).socket
    return readable && writable
  }
  get headSent(): boolean {
    return false
  }
  get announcesClose(): boolean {
    return false
  }
  get bodyState(): "Complete" {
    return "Complete"
  }
  get written(): boolean {
    return this.closeRequested
  }
  get awaitsReader(): boolean {
    return false
  }
  announceClose(): void {}
  retractClose(): void {}
  /**
   * Interrupts the streams among its messages; those without a reply yet may take as long as any response. No others begin,
   * so that one that lingers is closed, and its client has as long again to reply.
   */
  override endStreams(onEnded: () => void): boolean {
    this.acceptsMessages = false
    if (this.messages.interrupt(({ replied }) => replied)) this.cut = true
    const { endLinger } = this
    if (this.messages.size === 0 && endLinger === undefined) return false
    endLinger?.()
    this.messages.whenNone(onEnded)
    return true
  }
  /** Interrupts its messages first, which may then send a last reply, such as the failure of a call. */
  override interrupt(): void {
    if (this.interrupting) return super.interrupt()
    this.interrupting = true
    this.messages.interrupt(() => true)
    this.messages.whenNone(() => super.interrupt())
  }
  timeOut(): void {
    this.interrupt()
  }
  /** Nothing to do: the platform's socket fails, which ends the handler. */
  onDisconnect(): void {}
}

/** Makes the WebSocket of this request, and of requests derived from it, close when the policy requests it. */
export const closeWebSocketOnDrain = (
  policy: ConnectionDrainPolicy,
  request: HttpServerRequest.HttpServerRequest,
  exchange: UpgradeExchange
): void => {
  const upgrade = Effect.map(request.upgrade, (socket) => {
    policy.onStream(exchange)
    return drainableSocket(socket, exchange, Duration.millis(policy.idleTimeouts.length))
  })
  const modify = request.modify.bind(request)
  Object.defineProperties(request, {
    upgrade: { value: upgrade },
    modify: {
      value: (options: Parameters<typeof modify>[0]) => {
        const modified = modify(options)
        closeWebSocketOnDrain(policy, modified, exchange)
        return modified
      }
    }
  })
}

/**
 * Closes the socket with 1001 when the policy requests it, and `run` then succeeds: as soon as no message is in flight, and
 * after `idleLinger` if none was, because one may be on its way. Its last reply is the best moment: the client has none on
 * its way then, if it sends one at a time. A socket whose handler waits for `Shutdown.draining` is left to the handler.
 */
const drainableSocket = (
  socket: Socket.Socket,
  exchange: UpgradeExchange,
  idleLinger: Duration.Duration
): Socket.Socket => {
  const { messages } = exchange
  /** Open when a message has arrived since the close was requested, or none is accepted any more. */
  const lingerEnded = Effect.unsafeMakeLatch(false)
  let opened = false

  const goAway = Effect.suspend(() => {
    exchange.acceptsMessages = false
    return Effect.flatMap(socket.writer, (write) => write(new Socket.CloseEvent(1001)))
  }).pipe(Effect.scoped)

  const linger = Effect.suspend(() => {
    exchange.endLinger = () => lingerEnded.unsafeOpen()
    return Effect.raceFirst(lingerEnded.await, Effect.sleep(idleLinger))
  }).pipe(
    Effect.ensuring(Effect.sync(() => {
      exchange.endLinger = undefined
    }))
  )

  const awaitQuiet = Effect.suspend(() => messages.size > 0 ? Effect.void : linger).pipe(
    Effect.zipRight(messages.awaitNone),
    // What arrived in the same packet as the last message has started then.
    Effect.zipRight(yieldToEventLoop),
    Effect.zipRight(messages.awaitNone)
  )

  const closeOnRequest = exchange.closeRequest.pipe(
    Effect.zipRight(yieldToEventLoop),
    Effect.zipRight(Effect.suspend(() => exchange.awaitsDraining > 0 ? Effect.never : awaitQuiet)),
    Effect.zipRight(goAway)
  )

  const isRequestedClose = (error: unknown): error is Socket.SocketCloseError =>
    exchange.closeRequested && Socket.SocketCloseError.is(error) && error.code === 1001

  /**
   * The platform closes the socket without a code when `run` is interrupted, so the code is sent before. A socket that is
   * closed already would wait forever to send it.
   */
  const interruptAfterCode = <E, R>(run: Effect.Effect<void, E, R>): Effect.Effect<void, E, R> =>
    Effect.uninterruptible(
      Effect.flatMap(
        Effect.forkDaemon(Effect.interruptible(run)),
        (fiber) =>
          Effect.interruptible(Effect.flatten(Fiber.await(fiber))).pipe(
            Effect.onInterrupt(() =>
              Effect.when(bounded({ within: 0 })(goAway), () => exchange.closeRequested && opened).pipe(
                Effect.zipRight(Fiber.interrupt(fiber))
              )
            )
          )
      )
    )

  // The handshake of a client that has closed its end would never complete.
  const connected = Effect.suspend(() =>
    exchange.connected ? Effect.void : Effect.fail(new Socket.SocketCloseError({ reason: "Close", code: 1006 }))
  )

  const drainable = <E, R>(run: Effect.Effect<void, E, R>) =>
    Effect.zipRight(
      Effect.forkScoped(Effect.interruptible(closeOnRequest)),
      interruptAfterCode(
        Effect.zipRight(connected, run).pipe(Effect.locally(ofMessage, true), Effect.supervised(messages))
      )
    ).pipe(
      Effect.scoped,
      Effect.catchIf(isRequestedClose, () => Effect.void)
    )

  /** A message that arrives after the close was sent is not handled: it could get no reply. */
  const accepting = <A, B>(handler: (message: A) => B) => (message: A): B | void => {
    if (!exchange.acceptsMessages) return
    if (exchange.closeRequested) lingerEnded.unsafeOpen()
    return handler(message)
  }

  const opening = (options?: { readonly onOpen?: Effect.Effect<void> | undefined }) => ({
    onOpen: Effect.zipRight(
      Effect.sync(() => {
        opened = true
      }),
      options?.onOpen ?? Effect.void
    )
  })

  return {
    ...socket,
    writer: Effect.map(socket.writer, (write) => (chunk) =>
      Effect.withFiberRuntime((fiber) => {
        messages.onReply(fiber)
        return write(chunk)
      })),
    run: (handler, options) => drainable(socket.run(accepting(handler), opening(options))),
    runRaw: (handler, options) => drainable(socket.runRaw(accepting(handler), opening(options)))
  }
}
