import { Effect } from "effect"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { Connection } from "./connection.js"
import { Handled } from "./exchange.js"

const timedOut = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

/** A connection of HTTP/1.1: plain, encrypted, or of a Unix socket. */
export class Socket extends Connection {
  private closingBehind: Http.IncomingMessage | undefined = undefined

  constructor(readonly socket: Net.Socket) {
    super()
  }
  get bytesRead(): number {
    return this.socket.bytesRead
  }
  end(): void {
    this.socket.destroySoon()
  }
  destroy(): void {
    this.socket.destroy()
  }
  timeOut(): void {
    this.closingBehind = undefined
    if (this.socket.writable) this.socket.write(timedOut)
    this.socket.destroySoon()
  }

  /**
   * Node destroys a connection behind an answer that says close. While the client is still sending a body that nobody
   * wanted to read, that is a reset, and may take the answer with it. So it is only ended; it has its linger, as an idle one.
   */
  closeBehind(request: Http.IncomingMessage): void {
    if (this.closingBehind === undefined) {
      const { socket } = this
      const destroySoon = socket.destroySoon.bind(socket)
      socket.destroySoon = () => this.closingBehind?.complete === false ? void socket.end() : destroySoon()
    }
    this.closingBehind = request
  }
}

/** A request and its response. */
export class Answer extends Handled {
  /** What Node would do with the connection after this answer, had nobody asked for its close. */
  private readonly keepAlive: boolean

  constructor(
    connection: Connection,
    request: Http.IncomingMessage,
    readonly response: Http.ServerResponse,
    counted: boolean
  ) {
    super(connection, request, counted, false)
    this.keepAlive = response.shouldKeepAlive
  }

  get upgrade(): boolean {
    return false
  }
  get headSent(): boolean {
    return this.response.headersSent
  }
  get saysClose(): boolean {
    return !this.response.shouldKeepAlive
  }
  get written(): boolean {
    return this.response.writableEnded
  }
  get body(): "Whole" | "Owed" | "Unread" {
    const { request } = this
    if (request.complete) return "Whole"
    const read = request.readableLength === 0 && request.listenerCount("readable") + request.listenerCount("data") > 0
    return read ? "Owed" : "Unread"
  }
  sayClose(close: boolean): void {
    this.response.shouldKeepAlive = !close && this.keepAlive
    if (close && this.connection instanceof Socket) this.connection.closeBehind(this.request)
  }
  sayGoodbye(): void {}

  override interrupt(): void {
    if (!this.headSent) retryAfter(this.response)
    super.interrupt()
  }
  timeOut(): void {
    const { connection, response } = this
    if (!response.headersSent) {
      response.shouldKeepAlive = false
      response.writeHead(408, { "connection": "close", "content-length": "0" }).end()
    } else if (connection.unanswered === 1) connection.destroy()
    super.interrupt()
  }
  gone(): void {
    if (this.answered) return
    if (!this.response.writableEnded) this.abort()
    if (!this.response.writableFinished) unblock(this.response)
  }
}

/** A request for an upgrade. Whether there is a response to it is up to its handler. */
export class Upgrade extends Handled {
  /** Open when its WebSocket should be closed. */
  readonly goodbye = Effect.unsafeMakeLatch(false)
  saidGoodbye = false

  constructor(connection: Connection, request: Http.IncomingMessage) {
    super(connection, request, true, true)
  }
  get upgrade(): boolean {
    return true
  }
  get headSent(): boolean {
    return false
  }
  get saysClose(): boolean {
    return false
  }
  get body(): "Whole" {
    return "Whole"
  }
  get written(): boolean {
    return this.saidGoodbye
  }
  sayClose(): void {}
  sayGoodbye(): void {
    this.saidGoodbye = true
    this.goodbye.unsafeOpen()
  }
  timeOut(): void {
    this.interrupt()
  }
  /** Its handler goes on until it has noticed: stock tells it. */
  gone(): void {}
}

/** Stock answers an interrupted handler with an empty 503. The client is told when to come again. */
const retryAfter = (response: Http.ServerResponse): void => {
  const writeHead = response.writeHead.bind(response) as (...args: Array<unknown>) => Http.ServerResponse
  response.writeHead = ((status: number, ...args: Array<unknown>) => {
    if (status === 503) response.setHeader("retry-after", "1")
    return writeHead(status, ...args)
  }) as typeof response.writeHead
}

/**
 * Whoever ends a response waits for its `finish`, uninterruptibly, and a response whose connection has gone never
 * emits it: the fiber would stay for ever, with all finalizers of its request. Tell those who wait, and who will.
 */
const unblock = (response: Http.ServerResponse): void => {
  for (const listener of response.rawListeners("finish")) {
    if ("listener" in listener) listener.call(response)
  }
  const end = response.end.bind(response) as (...args: Array<unknown>) => Http.ServerResponse
  response.end = ((...args: Array<unknown>) => {
    const done = args.at(-1)
    end(...args)
    if (typeof done === "function") queueMicrotask(() => done())
    return response
  }) as typeof response.end
}
