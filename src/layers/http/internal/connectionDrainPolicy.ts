import type { LifecycleState } from "../../../core/ShutdownReport.js"
import type { Connection, Exchange } from "./connection.js"
import { TimeoutQueue } from "./timeoutQueue.js"

/** Milliseconds of the Clock. */
export interface ConnectionTimeouts {
  readonly idleLinger: number
  readonly stallTimeout: number
  readonly streamTimeout: number
}

/** Keeps idle connections without a `Connection`, while the server runs. */
export interface Hibernation {
  /** A connection has become idle. Returns whether it hibernates: until `onConnectionResumed` the policy does without it. */
  hibernate(connection: Connection): boolean
  /** Reports each connection that hibernates to `onConnectionResumed`. */
  resumeAll(): void
}

const noHibernation: Hibernation = { hibernate: () => false, resumeAll: () => {} }

/**
 * Decides what happens to each connection of a server: which one is asked to close, which one lingers, which one is
 * closed or cut, and when. It is a pure state machine without sockets and timers: the registry reports events to it,
 * and `runTimeouts` runs its queues.
 */
export class ConnectionDrainPolicy {
  /** Connections that are open and do not hibernate, or have exchanges that are not complete. */
  readonly connections = new Set<Connection>()
  /** Those of them that are open. */
  openConnections = 0
  runningHandlers = 0
  inFlight = 0
  finished = 0
  cut = 0
  private state: Extract<LifecycleState, "Running" | "LameDuck" | "Draining"> = "Running"
  private readonly waiters = new Set<() => void>()
  private mayHibernate = true
  hibernation = noHibernation

  readonly idleTimeouts: TimeoutQueue<Connection>
  /** Connections on which the server waits for the client: a request head is incomplete, or GOAWAY was sent. */
  readonly clientTimeouts: TimeoutQueue<Connection>
  /** Request bodies that are incomplete. */
  readonly bodyTimeouts: TimeoutQueue<Exchange>
  /** Long-lived exchanges. */
  readonly streamTimeouts: TimeoutQueue<Exchange>

  constructor({ idleLinger, stallTimeout, streamTimeout }: ConnectionTimeouts, now: () => number) {
    this.idleTimeouts = new TimeoutQueue(idleLinger, now, (connection, requestCount) => {
      this.onIdleTimeout(connection, requestCount)
    })
    this.clientTimeouts = new TimeoutQueue(stallTimeout, now, (connection, requestCount) => {
      if (!connection.closed && connection.requestCount === requestCount) connection.timeOut()
    })
    this.bodyTimeouts = new TimeoutQueue(stallTimeout, now, (exchange, bytesReceived) => {
      this.onBodyTimeout(exchange, bytesReceived)
    })
    this.streamTimeouts = new TimeoutQueue(streamTimeout, now, (exchange) => {
      if (exchange.awaitsReader) return
      if (!exchange.endStreams(() => this.streamTimeouts.add(exchange, 0))) this.cutExchange(exchange)
    })
  }

  onConnectionOpened(connection: Connection): void {
    this.connections.add(connection)
    this.openConnections++
    connection.bytesReadWhenIdle = connection.bytesRead
    if (this.state !== "Running") connection.announceClose()
    if (this.state === "Draining") this.onIdle(connection)
  }

  /** A connection hibernates no longer, because of a request or of `resumeAll`. */
  onConnectionResumed(connection: Connection): void {
    this.connections.add(connection)
    this.openConnections++
  }

  /** From now on no connection hibernates. */
  resumeAll(): void {
    this.mayHibernate = false
    this.hibernation.resumeAll()
  }

  /**
   * The head of a request has arrived. Returns whether the request is accepted: not when the response before it has
   * already announced that the connection closes.
   */
  onRequest(exchange: Exchange): boolean {
    const { connection } = exchange
    if (this.state !== "Running" && !this.moveAnnouncement(connection.lastPending, exchange)) return false
    connection.add(exchange)
    connection.lastPending = exchange
    connection.pendingResponses++
    connection.requestCount++
    if (exchange.isUpgrade) connection.upgraded = true
    if (exchange.counted) this.inFlight++
    if (this.state === "Draining") this.startTimeouts(exchange)
    return true
  }

  /** Only the last of pipelined responses announces the close: clients discard what comes after the one that does. */
  private moveAnnouncement(previous: Exchange | undefined, exchange: Exchange): boolean {
    if (previous !== undefined && !previous.isUpgrade) {
      if (!previous.headSent) previous.retractClose()
      else if (previous.announcesClose) return false
    }
    exchange.announceClose()
    return true
  }

  onHandlerStarted(exchange: Exchange): void {
    exchange.handlerExited = false
    this.runningHandlers++
  }

  onHandlerExited(exchange: Exchange): void {
    exchange.handlerExited = true
    this.runningHandlers--
    if (exchange.isUpgrade) this.onResponseEnded(exchange)
    if (exchange.responseEnded) this.completeIfDone(exchange)
    else this.checkWaiters()
  }

  /** The exchange is long-lived: it opens a WebSocket, or its response is a stream without a declared length. */
  onStream(exchange: Exchange): void {
    if (exchange.longLived) return
    exchange.longLived = true
    if (this.state === "Draining") this.startStreamTimeout(exchange)
  }

  /** The response was sent, or its connection is lost. */
  onResponseEnded(exchange: Exchange): void {
    if (exchange.responseEnded) return
    exchange.responseEnded = true
    const { connection } = exchange
    connection.pendingResponses--
    if (connection.lastPending === exchange) connection.lastPending = undefined
    connection.bytesReadWhenIdle = connection.bytesRead
    if (this.state === "Draining" && connection.idle) this.onIdle(connection)
    this.completeIfDone(exchange)
  }

  onConnectionClosed(connection: Connection): void {
    if (connection.closed) return
    connection.closed = true
    this.openConnections--
    for (const exchange of [...connection.exchanges]) {
      exchange.onDisconnect()
      this.onResponseEnded(exchange)
    }
    this.removeIfDone(connection)
  }

  get isDraining(): boolean {
    return this.state === "Draining"
  }

  /** Returns to `Running`, for the next app of the same server. */
  enterRunning(): void {
    this.state = "Running"
    this.mayHibernate = true
  }

  /** From now on each response announces that its connection closes; of pipelined ones only the last. */
  enterLameDuck(): void {
    if (this.state !== "Running") return
    this.resumeAll()
    this.state = "LameDuck"
    for (const connection of this.connections) connection.announceClose()
  }

  /** From now on each wait has a timeout, and connections that become idle are closed. */
  enterDraining(): void {
    this.enterLameDuck()
    if (this.state === "Draining") return
    this.state = "Draining"
    for (const connection of this.connections) {
      connection.resumeReading()
      for (const exchange of connection.exchanges) if (!exchange.responseEnded) this.startTimeouts(exchange)
      if (connection.idle) this.onIdle(connection)
      else if (connection.multiplexed && !connection.closing) this.idleTimeouts.add(connection, connection.requestCount)
    }
  }

  /** Interrupts the handler of an exchange that is not complete. */
  cutExchange(exchange: Exchange): void {
    if (exchange.complete) return
    const { connection, isUpgrade, responseEnded, written } = exchange
    exchange.cut = true
    exchange.interrupt()
    // The response is written but not sent: only a client that does not read holds up its handler.
    const unsent = written && !responseEnded && !isUpgrade && !connection.multiplexed
    if (unsent && connection.exchanges.every((_) => _.written)) connection.destroy()
  }

  /** Closes a connection: gracefully if everything is written, otherwise at once. */
  closeConnection(connection: Connection): void {
    const { exchanges, pendingResponses, upgraded } = connection
    const graceful = pendingResponses === 0 ? upgraded : exchanges.every((_) => _.written)
    if (graceful) connection.close()
    else this.destroyConnection(connection)
  }

  /** Destroys a connection, and cuts its exchanges whose response has not ended. */
  destroyConnection(connection: Connection): void {
    for (const exchange of [...connection.exchanges]) if (!exchange.responseEnded) this.cutExchange(exchange)
    connection.destroy()
  }

  /**
   * Calls back once the condition holds, and returns how to cancel. The condition is evaluated each time a handler exits, an
   * exchange completes or a connection closes, so it must be cheap.
   */
  when(condition: () => boolean, callback: () => void): () => void {
    const check = () => {
      if (!condition()) return
      this.waiters.delete(check)
      callback()
    }
    this.waiters.add(check)
    check()
    return () => this.waiters.delete(check)
  }

  private startTimeouts(exchange: Exchange): void {
    if (exchange.longLived) this.startStreamTimeout(exchange)
    if (!exchange.isUpgrade && exchange.bodyState !== "Complete") {
      this.bodyTimeouts.add(exchange, exchange.bytesReceived)
    }
  }

  private startStreamTimeout(exchange: Exchange): void {
    exchange.requestClose()
    this.streamTimeouts.add(exchange, 0)
  }

  private onIdle(connection: Connection): void {
    const timeouts = connection.awaitsClient ? this.clientTimeouts : this.idleTimeouts
    timeouts.add(connection, connection.requestCount)
  }

  private onIdleTimeout(connection: Connection, requestCount: number): void {
    if (connection.multiplexed) return this.closeMultiplexed(connection)
    if (connection.closed || connection.requestCount !== requestCount) return
    // A WebSocket may still be sending its close frame.
    if (connection.upgraded) connection.close()
    else if (connection.awaitsClient || connection.readArrived()) this.clientTimeouts.add(connection, requestCount)
    else connection.destroy()
  }

  /** Also closes a connection with open streams: they finish, and then the client has to close its end. */
  private closeMultiplexed(connection: Connection): void {
    if (connection.closed || connection.closing) return
    connection.close()
    if (connection.idle) this.onIdle(connection)
  }

  /** Times out a body that makes no progress, unless the handler does not read it yet. */
  private onBodyTimeout(exchange: Exchange, bytesReceivedBefore: number): void {
    const { bodyState, bytesReceived } = exchange
    if (exchange.responseEnded || bodyState === "Complete") return
    if (bodyState === "Unread" || bytesReceived > bytesReceivedBefore) {
      return this.bodyTimeouts.add(exchange, bytesReceived)
    }
    exchange.cut = true
    exchange.timeOut()
  }

  private completeIfDone(exchange: Exchange): void {
    if (!exchange.responseEnded || !exchange.handlerExited || exchange.complete) return
    exchange.complete = true
    exchange.connection.remove(exchange)
    exchange.onComplete()
    if (exchange.counted) {
      this.inFlight--
      if (exchange.cut) this.cut++
      else this.finished++
    }
    this.removeIfDone(exchange.connection)
  }

  private removeIfDone(connection: Connection): void {
    if (connection.exchanges.length === 0) {
      if (connection.closed) this.connections.delete(connection)
      else if (this.mayHibernate && this.hibernation.hibernate(connection)) {
        this.connections.delete(connection)
        this.openConnections--
      }
    }
    this.checkWaiters()
  }

  private checkWaiters(): void {
    if (this.waiters.size > 0) { for (const check of this.waiters) check() }
  }
}
