import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { Context, Effect, type Fiber, FiberId, Option } from "effect"
import { readSync } from "node:fs"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { Connection, Exchange } from "./connection.js"
import { requestTimeout } from "./plainResponses.js"

/** What of a socket is private to Node, and whether it is one of TLS. */
interface SocketWithHandle extends Net.Socket {
  readonly _handle?: { readonly fd: number } | null
  readonly encrypted?: boolean
}

/** An HTTP/1.1 connection over TCP, TLS or a Unix socket. */
export class Http1Connection extends Connection {
  private closesAfter: Http.IncomingMessage | undefined = undefined

  /** `transport`: the TCP connection of a TLS socket, otherwise the socket itself. */
  constructor(readonly socket: Net.Socket, readonly transport: Net.Socket = socket) {
    super()
  }
  get bytesRead(): number {
    return this.socket.bytesRead
  }
  /** While it is idle, nothing is needed of it but its socket and `bytesReadWhenIdle`. Not every stream counts its bytes. */
  get canHibernate(): boolean {
    const { bytesReadWhenIdle, closesAfter, socket, transport, upgraded } = this
    return !upgraded && closesAfter === undefined && transport === socket && Number.isInteger(bytesReadWhenIdle)
  }
  /**
   * Reads one byte of the descriptor, and leaves the rest to Node: closing a socket resets a request that waits in it, and on
   * a busy machine a request may arrive long after Node has last read. Not over TLS, whose bytes are not the parser's, nor on
   * Windows, which has no descriptors.
   */
  override readArrived(): boolean {
    const socket: SocketWithHandle = this.socket
    const fd = socket._handle?.fd ?? -1
    if (fd < 0 || socket.encrypted === true || !socket.writable) return false
    const byte = Buffer.allocUnsafe(1)
    try {
      if (readSync(fd, byte) === 0) return false
    } catch {
      return false
    }
    socket.emit("data", byte)
    return true
  }
  close(): void {
    this.socket.destroySoon()
  }
  /**
   * Resets the connection if a response is half sent: without a reset, one whose end is the end of its connection would
   * look complete. A Unix socket has no reset.
   */
  destroy(): void {
    const half = this.exchanges.some((exchange) => exchange instanceof Http1Exchange && exchange.halfSent)
    if (half && this.transport.remoteAddress !== undefined) {
      // `resetAndDestroy` would first send what is written, and a FIN.
      this.transport.destroySoon = () => void this.transport.destroy()
      this.transport.resetAndDestroy()
    }
    this.socket.destroy()
  }
  timeOut(): void {
    this.refuse(requestTimeout)
  }
  /** Writes a response of the server's own, and closes the connection. */
  refuse(response: string): void {
    this.closesAfter = undefined
    if (this.socket.writable) this.socket.write(response)
    this.socket.destroySoon()
  }

  /**
   * Closes only the server's side after a response to a request whose body is still arriving; the idle timeout closes
   * the rest. Node would destroy the socket after `Connection: close`: that resets a client that is still sending, and
   * the reset may discard the response.
   */
  closeAfter(request: Http.IncomingMessage): void {
    if (this.closesAfter === undefined) {
      const { socket } = this
      const destroySoon = socket.destroySoon.bind(socket)
      socket.destroySoon = () => this.closesAfter?.complete === false ? void socket.end() : destroySoon()
    }
    this.closesAfter = request
  }
}

const exchangeKey = Symbol.for("lastcall/http/Exchange")

interface Tagged extends Http.IncomingMessage {
  [exchangeKey]?: NodeExchange | undefined
}

/** The exchange that a request belongs to, until it is complete. */
export const exchangeOf = (request: Http.IncomingMessage): NodeExchange | undefined => (request as Tagged)[exchangeKey]

/** An exchange of a Node server, whose handler is a fiber. */
export abstract class NodeExchange extends Exchange {
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  closeRequested = false
  /** How many fibers of the handler wait for `Shutdown.draining`, or have waited until it completed. */
  awaitsDraining = 0
  private closeLatch: Effect.Latch | undefined = undefined

  constructor(connection: Connection, readonly request: Http.IncomingMessage, counted: boolean, longLived: boolean) {
    super(connection, counted, longLived)
    const tagged: Tagged = request
    tagged[exchangeKey] = this
  }

  /** Completes when the exchange should end. */
  get closeRequest(): Effect.Effect<void> {
    this.closeLatch ??= Effect.unsafeMakeLatch(this.closeRequested)
    return this.closeLatch.await
  }
  requestClose(): void {
    this.closeRequested = true
    this.closeLatch?.unsafeOpen()
  }

  interrupt(): void {
    this.interruptAs(FiberId.none)
  }

  /** Interrupts the handler as aborted by its client, which the platform maps to a 499. */
  abort(): void {
    this.interruptAs(HttpServerError.clientAbortFiberId)
  }

  /**
   * Drops references: Node's parser keeps the last request of each connection. Kept with its exchange and fiber, it
   * would be traversed by every garbage collection, which made a request a sixth more expensive.
   */
  onComplete(): void {
    const tagged: Tagged = this.request
    tagged[exchangeKey] = undefined
    this.fiber = undefined
  }

  /**
   * Interrupts the handler, except that of a route declared `uninterruptible`: the whole app runs interruptibly here, so
   * the router's promise to such a route is kept here.
   */
  private interruptAs(by: FiberId.FiberId): void {
    const { fiber } = this
    if (fiber === undefined || this.handlerExited) return
    // NodeHttpServer interrupts the fiber when the client disconnects, which it notices later.
    if (this.uninterruptible) fiber.unsafeInterruptAsFork = () => {}
    else fiber.unsafeInterruptAsFork(by)
  }

  protected get uninterruptible(): boolean {
    const { fiber } = this
    if (fiber === undefined) return false
    const routed = Context.getOption(fiber.currentContext as Context.Context<unknown>, HttpRouter.RouteContext)
    return Option.isSome(routed) && routed.value.route.uninterruptible
  }
}

/** A request and its response. */
export class Http1Exchange extends NodeExchange {
  /** Whether Node would keep the connection after this response. */
  private readonly keepAlive: boolean
  /** The response is an event stream: it may end after any event, and is complete then. */
  eventStream = false

  constructor(
    connection: Connection,
    request: Http.IncomingMessage,
    readonly response: Http.ServerResponse,
    counted: boolean
  ) {
    super(connection, request, counted, false)
    this.keepAlive = response.shouldKeepAlive
  }

  get isUpgrade(): boolean {
    return false
  }
  get headSent(): boolean {
    return this.response.headersSent
  }
  get announcesClose(): boolean {
    return !this.response.shouldKeepAlive
  }
  get written(): boolean {
    return this.response.writableEnded
  }
  get awaitsReader(): boolean {
    return !this.eventStream && this.unsentBytes > 0
  }
  /** Bytes of the response that the client has not made room for. */
  protected get unsentBytes(): number {
    return this.response.socket?.writableLength ?? 0
  }
  /** The client would take the response for a complete one if it ended now. */
  get halfSent(): boolean {
    return this.headSent && !this.written && !this.responseEnded && !this.eventStream
  }
  get bodyState(): "Complete" | "Awaited" | "Unread" {
    const { request } = this
    if (request.complete) return "Complete"
    const reading = request.readableLength === 0 &&
      request.listenerCount("readable") + request.listenerCount("data") > 0
    return reading ? "Awaited" : "Unread"
  }
  announceClose(): void {
    this.response.shouldKeepAlive = false
    if (this.connection instanceof Http1Connection) this.connection.closeAfter(this.request)
  }
  retractClose(): void {
    this.response.shouldKeepAlive = this.keepAlive
  }

  override interrupt(): void {
    if (!this.headSent) addRetryAfter(this.response)
    else if (!this.uninterruptible) this.reset()
    super.interrupt()
  }
  timeOut(): void {
    const { connection, response } = this
    if (!response.headersSent) {
      response.shouldKeepAlive = false
      response.writeHead(408, { "connection": "close", "content-length": "0" }).end()
    } else if (this.halfSent) this.reset()
    else if (connection.pendingResponses === 1) connection.destroy()
    super.interrupt()
  }

  /** Resets a response that is half sent, so that its client does not take it for a complete one. */
  reset(): void {
    if (!this.halfSent) return
    this.cut = true
    // The handler may write until it is interrupted, or hears that the response is closed.
    this.response.on("error", () => {})
    this.resetTransport()
    // Nothing of it is sent. NodeHttpServer sees that the response has ended, and writes no other one.
    this.response.end()
  }
  protected resetTransport(): void {
    const { connection, response } = this
    if (response.socket !== null) {
      for (const exchange of connection.exchanges) exchange.cut ||= !exchange.responseEnded
      connection.destroy()
      // A pipelined response, of which nothing has been sent: the responses before it are.
    } else response.once("socket", (socket) => socket.destroySoon())
  }
  onDisconnect(): void {
    if (this.responseEnded) return
    if (!this.response.writableEnded) this.abort()
    if (!this.response.writableFinished) completeCallbacks(this.response)
  }
}

/** Adds `Retry-After` to the empty 503 that NodeHttpServer sends for a handler that was interrupted. */
const addRetryAfter = (response: Http.ServerResponse): void => {
  const writeHead = response.writeHead.bind(response) as (...args: Array<unknown>) => Http.ServerResponse
  response.writeHead = ((status: number, ...args: Array<unknown>) => {
    if (status === 503) response.setHeader("retry-after", "1")
    return writeHead(status, ...args)
  }) as typeof response.writeHead
}

/**
 * Calls the callbacks of `end`, of calls before and after this one. NodeHttpServer waits for them uninterruptibly, and
 * Node never calls them once the connection is lost: the fiber, and all finalizers of its request, would wait forever.
 */
const completeCallbacks = (response: Http.ServerResponse): void => {
  for (const listener of response.rawListeners("finish")) {
    if ("listener" in listener) listener.call(response)
  }
  const end = response.end.bind(response) as (...args: Array<unknown>) => Http.ServerResponse
  response.end = ((...args: Array<unknown>) => {
    const callback = args.at(-1)
    end(...args)
    if (typeof callback === "function") queueMicrotask(() => callback())
    return response
  }) as typeof response.end
}
