import type * as Http from "node:http"
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2"
import type * as Net from "node:net"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import { exchangeOf, Http1Exchange } from "./http1.js"
import { Http1Sockets } from "./http1Sockets.js"
import { Http2Connection, Http2Exchange, streamOf } from "./http2.js"
import { Http2Sessions } from "./http2Sessions.js"
import { superviseUpgrade } from "./upgrade.js"
import { UpgradeExchange } from "./webSocket.js"

const ignoreError = (): void => {}

/** The classes of exchanges, by who handles them. */
export interface Exchanges {
  readonly Http1: typeof Http1Exchange
  readonly Http2: typeof Http2Exchange
  readonly Upgrade: typeof UpgradeExchange
}

/** A fiber handles them. */
const fiberExchanges: Exchanges = { Http1: Http1Exchange, Http2: Http2Exchange, Upgrade: UpgradeExchange }

/**
 * Reports the events of Node's sockets, requests and responses to the policy. It is driven by events alone: a request
 * costs two objects and a listener, an idle connection of HTTP/1.1 costs nothing, and nothing but HTTP/2 sessions is scanned.
 */
export class ConnectionRegistry {
  /** One function for all responses: every request passes here. */
  private readonly onResponseClose: (this: Http.ServerResponse) => void
  private readonly sockets: Http1Sockets
  readonly sessions = new Http2Sessions()

  constructor(readonly policy: ConnectionDrainPolicy, private readonly exchanges: Exchanges = fiberExchanges) {
    this.onResponseClose = function() {
      const exchange = exchangeOf(this.req)
      if (exchange === undefined) return
      exchange.onDisconnect()
      policy.onResponseEnded(exchange)
    }
    this.sockets = new Http1Sockets(policy)
    policy.hibernation = this.sockets
  }

  /** Does nothing for a socket that is known: one that the server gets again after an upgrade that it does not take. */
  readonly onConnection = (socket: Net.Socket): void => {
    if (!this.sockets.has(socket)) this.sockets.open(socket)
  }

  /** TLS: the encrypted socket replaces the raw one. */
  readonly onSecureConnection = (socket: Net.Socket): void => {
    if (this.sockets.has(socket)) return
    const { _parent: parent } = socket as { _parent?: Net.Socket }
    const raw = parent !== undefined && this.sockets.has(parent) ? this.sockets.connectionOf(parent) : undefined
    this.sockets.open(socket, raw?.socket)
    if (raw !== undefined) this.policy.onConnectionClosed(raw)
  }

  /** HTTP/2: the session replaces its socket. */
  readonly onSession = (session: ServerHttp2Session): void => {
    // `session.socket` is a proxy: it has the properties of the socket, and cannot be closed.
    const raw = this.sockets.connectionOf(session.socket)
    const connection = new Http2Connection(raw.socket, session)
    this.sessions.add(session, connection)
    this.policy.onConnectionOpened(connection)
    this.policy.onConnectionClosed(raw)
    raw.socket.once("close", () => {
      this.sessions.delete(session)
      // Node 20.19 leaves it in memory where it closes the socket after `resumeReading`.
      session.destroy()
      this.policy.onConnectionClosed(connection)
    })
  }

  /** Undefined when the policy does not accept the request, which must then get no response. */
  beginExchange(
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    counted: boolean
  ): Http1Exchange | undefined {
    const stream = streamOf(request)
    if (stream !== undefined) return this.beginHttp2Exchange(stream, request, response, counted)
    const exchange = new this.exchanges.Http1(this.sockets.connectionOf(request.socket), request, response, counted)
    if (!this.accept(exchange)) return undefined
    response.on("close", this.onResponseClose)
    return exchange
  }

  beginUpgrade(request: Http.IncomingMessage): UpgradeExchange | undefined {
    const exchange = new this.exchanges.Upgrade(this.sockets.connectionOf(request.socket), request)
    return this.accept(exchange) ? exchange : undefined
  }

  /**
   * Runs the action once no response of the socket is pending, unless the last one has closed the connection: Node reports
   * an upgrade at once, and what is written for it must not come before those responses.
   */
  afterResponses(request: Http.IncomingMessage, socket: Net.Socket, action: () => void): void {
    const connection = this.sockets.connectionOf(request.socket)
    const pending = () => connection.exchanges.filter((_) => _ instanceof Http1Exchange).map(({ response }) => response)
    let stop = () => {}
    if (socket === request.socket) stop = superviseUpgrade(socket, pending)
    // From Node 26 on, a request with a body has a stream over its socket, whose parser goes on until the body is complete.
    else socket.on("error", ignoreError)
    this.policy.when(() => connection.pendingResponses === 0 || connection.closed, () => {
      stop()
      if (socket.writable) action()
    })
  }

  private beginHttp2Exchange(
    stream: ServerHttp2Stream,
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    counted: boolean
  ): Http2Exchange {
    const connection = this.sessions.get(stream.session as ServerHttp2Session)!
    const exchange = new this.exchanges.Http2(connection, stream, request, response, counted)
    this.policy.onRequest(exchange)
    response.on("close", () => {
      exchange.onDisconnect()
      this.policy.onResponseEnded(exchange)
    })
    return exchange
  }

  private accept(exchange: Http1Exchange | UpgradeExchange): boolean {
    const accepted = this.policy.onRequest(exchange)
    if (!accepted) exchange.onComplete()
    return accepted
  }
}
