import type * as Http from "node:http"
import type * as Net from "node:net"
import type { Connection } from "./connection.js"
import type { Exchanges } from "./connectionRegistry.js"
import { type Http1Connection, Http1Exchange } from "./http1.js"
import { Http2Exchange } from "./http2.js"
import { serviceUnavailable } from "./plainResponses.js"
import { isWebSocket } from "./upgrade.js"
import { UpgradeExchange } from "./webSocket.js"

/*
 * Exchanges whose handler is a listener of the Node server. It cannot be interrupted: an exchange is cut at its connection.
 */

type Head = Record<string, string>

/** The headers of a call of `writeHead`: an object, or a list of names and values. */
const headOf = (headers: unknown): Head => {
  if (typeof headers !== "object" || headers === null) return {}
  const flat = Array.isArray(headers) ? headers.flat() : Object.entries(headers).flat()
  const head: Head = {}
  for (let n = 0; n + 1 < flat.length; n += 2) head[String(flat[n]).toLowerCase()] = String(flat[n + 1])
  return head
}

/** Records the headers that `writeHead` gets: Node does not keep them. Node calls it for implicit heads, too. */
const recordHead = (exchange: ListenerExchange): (name: string) => string | undefined => {
  const { response } = exchange
  const { writeHead } = response
  let head: Head = {}
  response.writeHead = ((...args: Array<unknown>) => {
    head = headOf(args.at(-1))
    const written = (writeHead as (...args: Array<unknown>) => Http.ServerResponse).apply(response, args)
    exchange.onHead()
    return written
  }) as typeof writeHead
  return (name) => head[name] ?? response.getHeader(name)?.toString()
}

interface ListenerExchange extends Http1Exchange {
  readonly header: (name: string) => string | undefined
  /** Called when the head of the response is written. */
  onHead: () => void
}

export const isListenerExchange = (exchange: unknown): exchange is ListenerExchange =>
  exchange instanceof ListenerHttp1Exchange || exchange instanceof ListenerHttp2Exchange

/** Whether the response may not end by itself: it is being sent, and its length is unknown. */
export const isStreaming = ({ header, headSent, written }: ListenerExchange): boolean =>
  headSent && !written && header("content-length") === undefined

/** Ends an event stream between two of its events, as far as the server can know: after what was written. */
const endEventStream = (exchange: ListenerExchange): void => {
  const { header, response } = exchange
  if (header("content-type")?.startsWith("text/event-stream") !== true) return
  exchange.eventStream = true
  // The listener may go on writing until it hears that the response is closed.
  response.on("error", () => {})
  response.end()
}

class ListenerHttp1Exchange extends Http1Exchange {
  onHead = (): void => {}
  readonly header = recordHead(this)

  override interrupt(): void {
    if (this.headSent) this.reset()
    else this.refuse(serviceUnavailable)
  }
  override timeOut(): void {
    if (this.headSent) this.reset()
    else (this.connection as Http1Connection).timeOut()
  }
  override requestClose(): void {
    endEventStream(this)
  }
  /** Nothing to do: Node tells the listener. */
  override onDisconnect(): void {}

  /** Not through the response, which the listener may still use. A pipelined one has no turn, and gets nothing. */
  private refuse(response: string): void {
    const connection = this.connection as Http1Connection
    if (connection.exchanges.find((_) => !_.responseEnded) === this) connection.refuse(response)
    else connection.destroy()
  }
}

class ListenerHttp2Exchange extends Http2Exchange {
  onHead = (): void => {}
  readonly header = recordHead(this)
  private responded = false

  override get written(): boolean {
    return this.responded || super.written
  }
  override interrupt(): void {
    if (this.headSent) this.reset()
    else this.respond(503, { "retry-after": "1" })
  }
  override timeOut(): void {
    if (this.headSent) this.reset()
    else this.respond(408, {})
  }
  override requestClose(): void {
    endEventStream(this)
  }
  override onDisconnect(): void {}

  private respond(status: number, headers: Record<string, string>): void {
    this.responded = true
    this.stream.respond({ ":status": status, ...headers })
    this.stream.end(() => this.stream.close())
  }
}

/** A close frame with 1001. Servers do not mask their frames (RFC 6455). */
const goingAway = Buffer.from([0x88, 0x02, 0x03, 0xe9])

/** An upgraded connection, as of `ws` or Socket.IO. It ends with its socket. */
class ListenerUpgradeExchange extends UpgradeExchange {
  private readonly socket: Net.Socket
  private readonly writtenBefore: number

  constructor(connection: Connection, request: Http.IncomingMessage) {
    super(connection, request)
    this.longLived = true
    this.socket = (connection as Http1Connection).socket
    this.writtenBefore = this.socket.bytesWritten
  }
  /** Sends a close frame, unless the handshake is in progress or the protocol is another one. */
  override requestClose(): void {
    super.requestClose()
    const handshakeDone = this.socket.bytesWritten > this.writtenBefore
    if (handshakeDone && isWebSocket(this.request) && this.socket.writable) this.socket.write(goingAway)
  }
  override interrupt(): void {
    this.socket.destroy()
  }
}

/** A listener of the Node server handles them. */
export const listenerExchanges: Exchanges = {
  Http1: ListenerHttp1Exchange,
  Http2: ListenerHttp2Exchange,
  Upgrade: ListenerUpgradeExchange
}
