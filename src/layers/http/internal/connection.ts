const none: ReadonlyArray<never> = []

/**
 * A client connection, as `ConnectionDrainPolicy` sees it: counters that the policy maintains, questions that only the
 * socket can answer, and actions that a subclass carries out on the socket.
 */
export abstract class Connection {
  private pending: Array<Exchange> | undefined = undefined
  /** The number of exchanges whose response has not ended. */
  pendingResponses = 0
  /** The newest exchange, until its response has ended. */
  lastPending: Exchange | undefined = undefined
  closed = false
  upgraded = false
  /** `close` was called on a multiplexed connection: its streams finish, and it accepts no new ones. */
  closing = false
  /** `bytesRead` when the connection last became idle. A larger value means that a request is arriving. */
  bytesReadWhenIdle = 0
  requestCount = 0

  abstract readonly bytesRead: number
  /** Carries concurrent exchanges that do not wait for each other: HTTP/2. */
  get multiplexed(): boolean {
    return false
  }
  /** Exchanges that are not complete, in order of arrival. */
  get exchanges(): ReadonlyArray<Exchange> {
    return this.pending ?? none
  }
  add(exchange: Exchange): void {
    if (this.pending === undefined) this.pending = [exchange]
    else this.pending.push(exchange)
  }
  /** An idle connection keeps no list. */
  remove(exchange: Exchange): void {
    const { pending } = this
    if (pending === undefined) return
    if (pending.at(-1) === exchange) pending.pop()
    else pending.splice(pending.indexOf(exchange), 1)
    if (pending.length === 0) this.pending = undefined
  }
  /** The server waits for the client: for the rest of a request head, or, after GOAWAY, for the client to close. */
  get awaitsClient(): boolean {
    return !this.upgraded && this.bytesRead > this.bytesReadWhenIdle
  }
  get idle(): boolean {
    return this.pendingResponses === 0 && !this.closed
  }
  /** Notices that the client has closed the connection, even if Node has stopped reading it. */
  resumeReading(): void {}
  /** Has Node handle a request of which a part has arrived that Node has not read. Returns whether there is one. */
  readArrived(): boolean {
    return false
  }
  /** Asks the client to send its next request over another connection. */
  announceClose(): void {
    if (this.lastPending !== undefined && !this.lastPending.headSent) this.lastPending.announceClose()
  }
  /** Closes the connection after what was written has been sent. HTTP/2: sends GOAWAY, and open streams finish. */
  abstract close(): void
  abstract destroy(): void
  /** Closes the connection because `awaitsClient` took too long. A request head that is incomplete gets a 408. */
  abstract timeOut(): void
}

/**
 * A request and its response. It is in flight until the response has ended *and* the fiber of its handler has exited:
 * finalizers of a request run after the last byte of its response.
 */
export abstract class Exchange {
  responseEnded = false
  handlerExited = true
  /** The response has ended and the handler has exited. */
  complete = false
  /** The server ended the exchange before the handler was done, or its response is incomplete. */
  cut = false

  /**
   * `counted`: whether the report includes this exchange. Probes and rejected requests are left out. `longLived`: it may
   * not end by itself, as a WebSocket, an event stream, or any stream without a declared length.
   */
  constructor(readonly connection: Connection, readonly counted: boolean, public longLived: boolean) {}

  /** An upgrade has no response of the server: its response ends when its handler exits. */
  abstract readonly isUpgrade: boolean
  abstract readonly headSent: boolean
  /** A measure of how much of the request has been read. It grows while the request makes progress. */
  get bytesReceived(): number {
    return this.connection.bytesRead
  }
  /** The response says that the connection closes after it. */
  abstract readonly announcesClose: boolean
  /** The whole response has been written. */
  abstract readonly written: boolean
  /** Only a client that reads slowly holds up the response. */
  abstract readonly awaitsReader: boolean
  /** `Complete`; `Awaited`, the handler waits for the client to send more; `Unread`, the handler has not asked for it. */
  abstract readonly bodyState: "Complete" | "Awaited" | "Unread"
  /** Makes the response say `Connection: close`. Called only before the response's head is sent. */
  abstract announceClose(): void
  /** Undoes `announceClose`. Called only before the response's head is sent. */
  abstract retractClose(): void
  /** Asks a long-lived exchange to end. A WebSocket is closed with 1001, an event stream ends. */
  abstract requestClose(): void
  /**
   * Ends what may not end by itself among the messages of a WebSocket. Returns whether the others are awaited, and then calls
   * back once none is left.
   */
  endStreams(_onEnded: () => void): boolean {
    return false
  }
  /** Interrupts the handler. The client gets a 503 if the response's head has not been sent, and a reset if part of it has. */
  abstract interrupt(): void
  /** Interrupts the handler. The client gets a 408 if the response's head has not been sent, and a reset if part of it has. */
  abstract timeOut(): void
  /** Called when the connection is lost, or the response has ended. */
  abstract onDisconnect(): void
  /** Called when the exchange is complete. */
  abstract onComplete(): void
}
