import type * as Http from "node:http"
import { constants, type Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2"
import type * as Net from "node:net"
import { Connection } from "./connection.js"
import { Answer } from "./http1.js"

/** The stream of a request that came over HTTP/2. Stock takes such a request for one of HTTP/1.1, and so does the gate. */
export const streamOf = (request: Http.IncomingMessage): ServerHttp2Stream | undefined =>
  request.httpVersionMajor === 2 ? (request as unknown as Http2ServerRequest).stream : undefined

/** Names no last stream. */
const all = 2 ** 31 - 1

/**
 * A connection of HTTP/2. It is ended by GOAWAY: open streams finish, and what comes later is refused in a way that tells
 * the client that it was never taken, so that it may be sent elsewhere.
 *
 * The protocol would have an early GOAWAY, after which streams that are on their way are still taken. Node takes no
 * stream any more once it has sent any GOAWAY. So it goes out where the fewest streams can cross it: with the answer
 * that leaves nothing else open, as HTTP/1.1 says `Connection: close`.
 */
export class Session extends Connection {
  override readonly multiplexed = true
  /** Nobody asks: its streams count their own. */
  readonly bytesRead = 0
  private told = false

  constructor(private readonly socket: Net.Socket, private readonly session: ServerHttp2Session) {
    super()
  }
  override tell(): void {
    this.told = true
  }
  /** The answer is about to end. */
  ending(answer: Stream): void {
    if (this.told && !this.ended && this.exchanges.every((_) => _ === answer || _.written)) this.end()
  }
  /**
   * The first GOAWAY names no stream, the second, when the first has left, the last that was taken. Were it the only
   * one: `session.close` resets streams that come before its GOAWAY has left, and that corrupts the memory of Node 20.
   */
  end(): void {
    const { session } = this
    if (this.ended || session.destroyed) return
    this.ended = true
    // It never asked for anything, and need not speak the protocol.
    if (this.turns === 0) return session.destroy()
    session.goaway(constants.NGHTTP2_NO_ERROR, all)
    setImmediate(() => {
      if (session.destroyed || session.state.outboundQueueSize === 0) session.close()
      // The client does not read. It will acknowledge this after what it reads before.
      else session.ping(() => setImmediate(() => session.close()))
    })
  }
  /** Node closes its end with the last stream, and waits for the client's without a bound. */
  override get halfSent(): boolean {
    return this.ended
  }
  timeOut(): void {
    this.session.destroy()
    if (this.socket.writableFinished) this.socket.destroy()
    else this.socket.once("finish", () => this.socket.destroy())
  }
  /** Resets its streams and lets the last frames leave; again, nothing is waited for. */
  destroy(): void {
    if (this.session.destroyed) this.socket.destroy()
    else this.session.destroy()
  }
}

/** A request of a session, and its response. */
export class Stream extends Answer {
  private reads = 0

  constructor(
    session: Session,
    private readonly stream: ServerHttp2Stream,
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    counted: boolean
  ) {
    super(session, request, response, counted)
    const end = response.end.bind(response) as (...args: Array<unknown>) => Http.ServerResponse
    response.end = ((...args: Array<unknown>) => {
      session.ending(this)
      const done = args.at(-1)
      // Node forgets to tell when the stream is reset before everything is written.
      if (typeof done === "function") response.once("close", () => done())
      return end(...args)
    }) as typeof response.end
  }
  /** Of a stream that is gone no header can be set any more, and Node throws at it. */
  override get headSent(): boolean {
    return this.stream.destroyed || super.headSent
  }
  override get saysClose(): boolean {
    return false
  }
  override get body(): "Whole" | "Owed" | "Unread" {
    return this.stream.destroyed || this.stream.state.remoteClose === 1 ? "Whole" : super.body
  }
  /** Of the body, counted from when it is first asked for. */
  override get received(): number {
    if (this.reads === 0 && this.stream.listenerCount("data") > 0) {
      this.reads = 1
      this.stream.on("data", (chunk: Buffer) => this.reads += chunk.length)
    }
    return this.reads
  }
  override sayClose(): void {}
  override timeOut(): void {
    const { response, stream } = this
    if (response.headersSent) stream.close(constants.NGHTTP2_CANCEL)
    else response.writeHead(408, { "content-length": "0" }).end(() => stream.close(constants.NGHTTP2_NO_ERROR))
    this.interrupt()
  }
}
