import type { Connection, Exchange } from "./connection.js"
import { Waits } from "./waits.js"

/** Milliseconds. */
export interface Bounds {
  readonly idleLinger: number
  readonly stallTimeout: number
  readonly streamTimeout: number
}

/** `Serving`; `Telling`, from lame duck on, that connections close; `Draining`, until none is left. */
export type Stage = "Serving" | "Telling" | "Draining"

/**
 * Decides the fate of every connection of a server: who is told, who lingers, who is closed, who is cut, and when. It
 * knows neither sockets nor timers, only what it is told of them.
 */
export class Fates {
  readonly open = new Set<Connection>()
  /** Connections that are not closed. */
  sockets = 0
  /** Handlers whose fiber has not exited. */
  handling = 0
  inFlight = 0
  finished = 0
  cutOff = 0
  private stage: Stage = "Serving"
  private readonly waiters = new Set<() => void>()

  /** Idle connections. */
  readonly lingering: Waits<Connection>
  /** Half-sent heads, and sessions that were ended: what the client owes. */
  readonly heads: Waits<Connection>
  /** Half-sent bodies. */
  readonly bodies: Waits<Exchange>
  /** Event streams and WebSockets. */
  readonly streams: Waits<Exchange>

  constructor(bounds: Bounds, now: () => number) {
    this.lingering = new Waits(bounds.idleLinger, now, (connection, turns) => this.lingered(connection, turns))
    this.heads = new Waits(bounds.stallTimeout, now, (connection, turns) => {
      if (!connection.closed && connection.turns === turns) connection.timeOut()
    })
    this.bodies = new Waits(bounds.stallTimeout, now, (exchange, bytes) => this.stalled(exchange, bytes))
    this.streams = new Waits(bounds.streamTimeout, now, (exchange) => this.cut(exchange))
  }

  /** A connection was accepted. */
  accepted(connection: Connection): void {
    this.open.add(connection)
    this.sockets++
    connection.bytesWhenIdle = connection.bytesRead
    if (this.stage !== "Serving") connection.tell()
    if (this.stage === "Draining") this.becameIdle(connection)
  }

  /** The head of a request has come. False: the answer before it said that the connection closes, so it is not taken. */
  request(exchange: Exchange): boolean {
    const { connection } = exchange
    if (this.stage !== "Serving" && !this.follow(exchange, connection.last)) return false
    connection.exchanges.push(exchange)
    connection.last = exchange
    connection.unanswered++
    connection.turns++
    if (exchange.upgrade) connection.upgraded = true
    if (exchange.counted) this.inFlight++
    if (this.stage === "Draining") this.bound(exchange)
    return true
  }

  /** Of pipelined answers only the last says close: what comes behind that one is lost to the client. */
  private follow(exchange: Exchange, before: Exchange | undefined): boolean {
    if (before !== undefined && !before.upgrade) {
      if (!before.headSent) before.sayClose(false)
      else if (before.saysClose) return false
    }
    exchange.sayClose(true)
    return true
  }

  /** The exchange was given to a handler: it is in flight until the handler has exited. */
  handle(exchange: Exchange): void {
    exchange.handled = false
    this.handling++
  }

  handled(exchange: Exchange): void {
    exchange.handled = true
    this.handling--
    if (exchange.upgrade) this.answered(exchange)
    this.settle(exchange)
  }

  /** Its answer turned out to be an event stream: it does not end by itself. */
  streaming(exchange: Exchange): void {
    if (exchange.longLived) return
    exchange.longLived = true
    if (this.stage === "Draining") this.streams.add(exchange, 0)
  }

  /** Nothing more of the answer will be written: it was sent, or its connection has gone. */
  answered(exchange: Exchange): void {
    if (exchange.answered) return
    exchange.answered = true
    const { connection } = exchange
    connection.unanswered--
    if (connection.last === exchange) connection.last = undefined
    connection.bytesWhenIdle = connection.bytesRead
    if (this.stage === "Draining" && connection.idle) this.becameIdle(connection)
    this.settle(exchange)
  }

  closed(connection: Connection): void {
    if (connection.closed) return
    connection.closed = true
    this.sockets--
    for (const exchange of [...connection.exchanges]) {
      exchange.gone()
      this.answered(exchange)
    }
    this.left(connection)
  }

  /** As if nothing had been told: there is another app. */
  serve(): void {
    this.stage = "Serving"
  }

  /** From now on every answer says that its connection closes; of pipelined ones only the last. */
  tell(): void {
    if (this.stage !== "Serving") return
    this.stage = "Telling"
    for (const connection of this.open) connection.tell()
  }

  /** From now on every wait is bounded, and what becomes idle is closed. */
  drain(): void {
    this.tell()
    if (this.stage === "Draining") return
    this.stage = "Draining"
    for (const connection of this.open) {
      for (const exchange of connection.exchanges) if (!exchange.answered) this.bound(exchange)
      if (connection.idle) this.becameIdle(connection)
      else if (connection.multiplexed && !connection.ended) this.lingering.add(connection, connection.turns)
    }
  }

  /** Ends an exchange that is not done. */
  cut(exchange: Exchange): void {
    if (exchange.ended) return
    const { answered, connection, upgrade, written } = exchange
    exchange.cut = true
    exchange.interrupt()
    // Its handler waits for nothing but a client that does not read.
    const unread = written && !answered && !upgrade && !connection.multiplexed
    if (unread && connection.exchanges.every((_) => _.written)) connection.destroy()
  }

  /** Closes every connection; what is written may leave first. */
  close(): void {
    for (const connection of this.open) {
      const leaving = connection.unanswered === 0 ? connection.upgraded : connection.exchanges.every((_) => _.written)
      if (leaving) connection.end()
      else this.destroy(connection)
    }
  }

  /** What is not answered is cut. */
  destroy(connection: Connection): void {
    for (const exchange of [...connection.exchanges]) if (!exchange.answered) this.cut(exchange)
    connection.destroy()
  }

  /** Calls back when the test holds; it is tried at each end of an exchange or a connection, so it must be cheap. */
  when(test: () => boolean, then: () => void): () => void {
    const retry = () => {
      if (!test()) return
      this.waiters.delete(retry)
      then()
    }
    this.waiters.add(retry)
    retry()
    return () => this.waiters.delete(retry)
  }

  private bound(exchange: Exchange): void {
    if (exchange.upgrade) exchange.sayGoodbye()
    if (exchange.longLived) this.streams.add(exchange, 0)
    if (!exchange.upgrade && exchange.body !== "Whole") this.bodies.add(exchange, exchange.received)
  }

  private becameIdle(connection: Connection): void {
    const waits = connection.halfSent ? this.heads : this.lingering
    waits.add(connection, connection.turns)
  }

  private lingered(connection: Connection, turns: number): void {
    if (connection.multiplexed) return this.goAway(connection)
    if (connection.closed || connection.turns !== turns) return
    if (connection.halfSent) this.heads.add(connection, turns)
    // A WebSocket may still be sending its close frame.
    else if (connection.upgraded) connection.end()
    else connection.destroy()
  }

  /** It is ended even while it is busy. Its client is to close it then, and owes no more than that. */
  private goAway(connection: Connection): void {
    if (connection.closed || connection.ended) return
    connection.end()
    if (connection.idle) this.becameIdle(connection)
  }

  /** A body that stands still is given up; one that moves, or that its handler does not read yet, is not. */
  private stalled(exchange: Exchange, bytes: number): void {
    const { body, received } = exchange
    if (exchange.answered || body === "Whole") return
    if (body === "Unread" || received > bytes) return this.bodies.add(exchange, received)
    exchange.cut = true
    exchange.timeOut()
  }

  private settle(exchange: Exchange): void {
    if (!exchange.answered || !exchange.handled || exchange.ended) return
    exchange.ended = true
    const { exchanges } = exchange.connection
    if (exchanges.at(-1) === exchange) exchanges.pop()
    else exchanges.splice(exchanges.indexOf(exchange), 1)
    exchange.forget()
    if (exchange.counted) {
      this.inFlight--
      if (exchange.cut) this.cutOff++
      else this.finished++
    }
    this.left(exchange.connection)
  }

  private left(connection: Connection): void {
    if (connection.closed && connection.exchanges.length === 0) this.open.delete(connection)
    if (this.waiters.size > 0) { for (const retry of this.waiters) retry() }
  }
}
