/**
 * One connection, as its fate is decided: what happened on it is kept here, what only the socket knows is asked for, and
 * what is decided is carried out by whoever extends this.
 */
export abstract class Connection {
  /** What is not over, in the order in which it came: not answered, or its handler has not exited. */
  readonly exchanges: Array<Exchange> = []
  unanswered = 0
  /** The one that came last, while it is not answered. */
  last: Exchange | undefined = undefined
  closed = false
  upgraded = false
  /** It carries many exchanges at a time, none of which waits for another: HTTP/2. */
  readonly multiplexed: boolean = false
  /** It was ended: what is open on it finishes, and nothing new comes. */
  ended = false
  /** How much was read when it last became idle: more means that a request is under way. */
  bytesWhenIdle = 0
  /** How many requests it has brought. */
  turns = 0

  abstract readonly bytesRead: number
  /** Half of a request's head has come, or another thing is owed by the client before the connection can close. */
  get halfSent(): boolean {
    return !this.upgraded && this.bytesRead > this.bytesWhenIdle
  }
  get idle(): boolean {
    return this.unanswered === 0 && !this.closed
  }
  /** The service stops: the client should make its next request elsewhere. */
  tell(): void {
    if (this.last !== undefined && !this.last.headSent) this.last.sayClose(true)
  }
  /** Closes once what was written has left. One that is multiplexed takes nothing more, and closes with its client. */
  abstract end(): void
  abstract destroy(): void
  /** What is owed never came. For a head: 408. */
  abstract timeOut(): void
}

/**
 * One request with its answer. It is in flight until nothing more is written (`answered`) *and* the fiber of its handler
 * has exited (`handled`): finalizers of a request go on after its last byte.
 */
export abstract class Exchange {
  answered = false
  handled = true
  ended = false
  /** The server ended it before it was done. */
  cut = false
  /** `counted`: probes and refusals are nobody's work, and in no report. */
  constructor(readonly connection: Connection, readonly counted: boolean, public longLived: boolean) {}

  /** An upgrade has no answer of ours to wait for: it is answered when its handler has exited. */
  abstract readonly upgrade: boolean
  abstract readonly headSent: boolean
  /** How much of the request was read. More means that it moves. */
  get received(): number {
    return this.connection.bytesRead
  }
  /** That the connection closes after this answer. */
  abstract readonly saysClose: boolean
  /** Everything that it has to say is written. */
  abstract readonly written: boolean
  /** The request's: whole, owed by the client to a handler that waits for it, or not read by the handler yet. */
  abstract readonly body: "Whole" | "Owed" | "Unread"
  /** Whether this answer says `Connection: close`. Only asked for while its head is not sent. */
  abstract sayClose(close: boolean): void
  /** To a long-lived one: the server drains. A WebSocket is closed with 1001. */
  abstract sayGoodbye(): void
  /** Interrupts the handler: 503, if no header was sent. */
  abstract interrupt(): void
  /** 408, if no header was sent, and interrupts the handler. */
  abstract timeOut(): void
  /** Its connection is gone, and whatever is still written to it. */
  abstract gone(): void
  /** It is over. */
  abstract forget(): void
}
