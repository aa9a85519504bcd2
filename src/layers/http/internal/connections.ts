import type * as Http from "node:http"
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2"
import type * as Net from "node:net"
import { find } from "./exchange.js"
import type { Fates } from "./fates.js"
import { Answer, Socket, Upgrade } from "./http1.js"
import { Session, Stream, streamOf } from "./http2.js"

const key = Symbol.for("lastcall/http/Connection")

interface Tagged extends Net.Socket {
  [key]?: Socket
}

/**
 * Tells the fates what Node tells of sockets and requests. Driven by events alone: a request costs an object and a
 * listener, an idle connection costs nothing, and nobody scans.
 */
export class Connections {
  /** A response was sent, or its connection has gone. One function for all of them: it is on the way of every request. */
  private readonly over: (this: Http.ServerResponse) => void
  private readonly sessions = new WeakMap<ServerHttp2Session, Session>()

  constructor(readonly fates: Fates) {
    this.over = function() {
      const exchange = find(this.req)
      if (exchange === undefined) return
      exchange.gone()
      fates.answered(exchange)
    }
  }

  readonly add = (socket: Net.Socket): Socket => {
    const connection = new Socket(socket)
    const tagged: Tagged = socket
    tagged[key] = connection
    this.fates.accepted(connection)
    // Node takes its own listener away when a connection is upgraded; an error nobody hears would end the process.
    socket.on("error", () => {})
    socket.once("close", () => this.fates.closed(connection))
    return connection
  }

  /** TLS: the connection is the encrypted socket from now on, no more the one beneath it. */
  readonly secure = (socket: Net.Socket): void => {
    const beneath: Socket | undefined = (socket as { _parent?: Tagged })._parent?.[key]
    this.add(socket)
    if (beneath !== undefined) this.fates.closed(beneath)
  }

  /** HTTP/2: the connection is the session from now on, no more the socket beneath it. */
  readonly session = (session: ServerHttp2Session): void => {
    // What it calls its socket is a stand-in, which knows everything of it but does nothing.
    const beneath = (session.socket as Tagged)[key]!
    const connection = new Session(beneath.socket, session)
    this.sessions.set(session, connection)
    this.fates.accepted(connection)
    this.fates.closed(beneath)
    beneath.socket.once("close", () => this.fates.closed(connection))
  }

  /** None when the connection's last answer has already said `Connection: close`: this request is not taken. */
  answer(request: Http.IncomingMessage, response: Http.ServerResponse, counted: boolean): Answer | undefined {
    const stream = streamOf(request)
    if (stream !== undefined) return this.stream(stream, request, response, counted)
    const exchange = new Answer(this.of(request.socket), request, response, counted)
    if (!this.take(exchange)) return undefined
    response.on("close", this.over)
    return exchange
  }

  upgrade(request: Http.IncomingMessage): Upgrade | undefined {
    const exchange = new Upgrade(this.of(request.socket), request)
    return this.take(exchange) ? exchange : undefined
  }

  private stream(
    stream: ServerHttp2Stream,
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    counted: boolean
  ): Stream {
    const session = this.sessions.get(stream.session as ServerHttp2Session)!
    const exchange = new Stream(session, stream, request, response, counted)
    this.fates.request(exchange)
    response.on("close", () => {
      exchange.gone()
      this.fates.answered(exchange)
    })
    return exchange
  }

  private take(exchange: Answer | Upgrade): boolean {
    const taken = this.fates.request(exchange)
    if (!taken) exchange.forget()
    return taken
  }

  private of(socket: Net.Socket): Socket {
    return (socket as Tagged)[key] ?? this.add(socket)
  }
}
