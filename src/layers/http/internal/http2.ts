import type * as Http from "node:http"
import { constants, type Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2"
import type * as Net from "node:net"
import { Connection } from "./connection.js"
import { Http1Exchange } from "./http1.js"

/** The stream of an HTTP/2 request. NodeHttpServer and the gate treat such a request as one of HTTP/1.1. */
export const streamOf = (request: Http.IncomingMessage): ServerHttp2Stream | undefined =>
  request.httpVersionMajor === 2 ? (request as unknown as Http2ServerRequest).stream : undefined

/** The stream id of a GOAWAY that refuses no stream. */
const maxStreamId = 2 ** 31 - 1

/** What of a socket is private to Node. */
interface SocketWithHandle extends Net.Socket {
  readonly _handle?: { readonly writeQueueSize: number; readonly readStart: () => void } | null
}

/**
 * An HTTP/2 connection. `close` sends GOAWAY: open streams finish, and later ones are refused as unprocessed, so that the
 * client may send them again elsewhere.
 *
 * RFC 9113 has an early GOAWAY, after which a server still accepts streams that are on their way. Node accepts no stream
 * after any GOAWAY. So GOAWAY is sent when the fewest streams can cross it: with the response that leaves no other
 * stream open, as HTTP/1.1 sends `Connection: close`.
 */
export class Http2Connection extends Connection {
  override get multiplexed(): boolean {
    return true
  }
  /** Always 0: each stream counts the bytes of its own body. */
  readonly bytesRead = 0
  private closeAnnounced = false

  constructor(private readonly socket: Net.Socket, private readonly session: ServerHttp2Session) {
    super()
  }
  /**
   * Node 20 stops reading a connection whose client has broken the protocol, and would not notice that the client closes
   * it. While something is being written, Node itself reads on afterwards.
   */
  override resumeReading(): void {
    const { _handle: handle } = this.socket as SocketWithHandle
    if (handle?.writeQueueSize === 0) handle.readStart()
  }
  override announceClose(): void {
    this.closeAnnounced = true
  }
  /** Called before a response ends. */
  beforeResponseEnd(exchange: Http2Exchange): void {
    const last = this.exchanges.every((_) => _ === exchange || _.written)
    if (this.closeAnnounced && !this.closing && last) this.close()
  }
  /**
   * Sends a GOAWAY that refuses no stream, and after it left, one that names the last accepted stream. `session.close`
   * alone would reset streams that arrive before its GOAWAY has left, and that corrupts the memory of Node 20.
   */
  close(): void {
    const { session } = this
    if (this.closing || session.destroyed) return
    this.closing = true
    // The client has sent no request, and may not speak HTTP/2 at all.
    if (this.requestCount === 0) return session.destroy()
    session.goaway(constants.NGHTTP2_NO_ERROR, maxStreamId)
    setImmediate(() => {
      if (session.destroyed || session.state.outboundQueueSize === 0) session.close()
      // The client is not reading. It acknowledges the ping after it has read everything before it.
      else session.ping(() => setImmediate(() => session.close()))
    })
  }
  /** Node closes its end after the last stream, and waits for the client to close without a timeout. */
  override get awaitsClient(): boolean {
    return this.closing
  }
  timeOut(): void {
    this.session.destroy()
    if (this.socket.writableFinished) this.socket.destroy()
    else this.socket.once("finish", () => this.socket.destroy())
  }
  /** The first call resets the streams and lets the last frames leave; the second one does not wait for them. */
  destroy(): void {
    if (this.session.destroyed) this.socket.destroy()
    else this.session.destroy()
  }
}

/** A stream of an HTTP/2 connection. */
export class Http2Exchange extends Http1Exchange {
  private bodyBytes = 0
  /** What waits for the response to be sent, and whether it still should. */
  private awaitsSent: (() => void) | undefined = undefined
  private interrupted = false

  constructor(
    connection: Http2Connection,
    protected readonly stream: ServerHttp2Stream,
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    counted: boolean
  ) {
    super(connection, request, response, counted)
    const end = response.end.bind(response) as (...args: Array<unknown>) => Http.ServerResponse
    response.end = ((...args: Array<unknown>) => {
      connection.beforeResponseEnd(this)
      const callback = args.at(-1)
      if (typeof callback === "function") {
        // Node does not call it when the stream is reset before everything is written.
        response.once("close", () => callback())
        this.awaitsSent = () => callback()
      }
      end(...args)
      if (this.interrupted) this.stopWaiting()
      return response
    }) as typeof response.end
  }
  /** Also true for a stream that is destroyed: Node throws when a header is set on it. */
  override get headSent(): boolean {
    return this.stream.destroyed || super.headSent
  }
  override get halfSent(): boolean {
    return !this.stream.closed && super.halfSent
  }
  protected override get unsentBytes(): number {
    return this.stream.writableLength
  }
  override get announcesClose(): boolean {
    return false
  }
  override get bodyState(): "Complete" | "Awaited" | "Unread" {
    return this.stream.destroyed || this.stream.state.remoteClose === 1 ? "Complete" : super.bodyState
  }
  /** Bytes of the body, counted from the first call on. */
  override get bytesReceived(): number {
    if (this.bodyBytes === 0 && this.stream.listenerCount("data") > 0) {
      this.bodyBytes = 1
      this.stream.on("data", (chunk: Buffer) => this.bodyBytes += chunk.length)
    }
    return this.bodyBytes
  }
  override announceClose(): void {}
  override retractClose(): void {}
  /**
   * The handler no longer waits for its response to be sent: Node sends and reads nothing more on a connection whose client
   * has broken the protocol, and leaves it open.
   */
  override interrupt(): void {
    super.interrupt()
    this.interrupted = true
    this.stopWaiting()
  }
  /** Nor when the connection is lost. Node 20 may report neither to the stream of a client that has broken the protocol. */
  override onDisconnect(): void {
    super.onDisconnect()
    this.stopWaiting()
  }
  private stopWaiting(): void {
    const { awaitsSent } = this
    this.awaitsSent = undefined
    if (awaitsSent !== undefined) queueMicrotask(awaitsSent)
  }
  protected override resetTransport(): void {
    this.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }
  override timeOut(): void {
    const { response, stream } = this
    if (this.halfSent) this.reset()
    else if (response.headersSent) stream.close(constants.NGHTTP2_CANCEL)
    else response.writeHead(408, { "content-length": "0" }).end(() => stream.close(constants.NGHTTP2_NO_ERROR))
    this.interrupt()
  }
}
