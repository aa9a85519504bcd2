import { Connection, Exchange } from "../../../../src/layers/http/internal/connection.js"
import {
  ConnectionDrainPolicy,
  type ConnectionTimeouts
} from "../../../../src/layers/http/internal/connectionDrainPolicy.js"

/** Milliseconds, different enough that a journal shows which timeout has expired. */
export const timeouts: ConnectionTimeouts = { idleLinger: 200, stallTimeout: 2000, streamTimeout: 5000 }

/** A connection without a socket, and a journal of what the policy did to it. */
export class SimulatedConnection extends Connection {
  bytesRead = 0
  /** Since when no response is pending. */
  idleSince = 0
  readonly requests: Array<SimulatedExchange> = []
  constructor(readonly simulation: Simulation, readonly name: string) {
    super()
  }
  receive(bytes: number): void {
    if (!this.closed) this.bytesRead += bytes
  }
  request(options: RequestOptions = {}): SimulatedExchange | undefined {
    if (this.closed || this.upgraded) return undefined
    this.bytesRead += 10
    return this.accept(new SimulatedExchange(this, `${this.name}/${this.requests.length + 1}`, options))
  }
  protected accept(exchange: SimulatedExchange): SimulatedExchange | undefined {
    this.simulation.resume(this)
    if (!this.simulation.policy.onRequest(exchange)) {
      this.simulation.record(`${exchange.name} is not accepted`)
      return undefined
    }
    this.requests.push(exchange)
    this.simulation.policy.onHandlerStarted(exchange)
    return exchange
  }
  disconnect(): void {
    if (this.simulation.hibernating.delete(this)) this.closed = true
    else this.simulation.policy.onConnectionClosed(this)
  }
  close(): void {
    this.closeAs("closed")
  }
  destroy(): void {
    this.closeAs("destroyed")
  }
  timeOut(): void {
    this.closeAs("timed out")
  }
  private closeAs(action: string): void {
    if (this.closed) return
    this.simulation.record(`${this.name} is ${action}`, this)
    this.simulation.policy.onConnectionClosed(this)
  }
}

export interface RequestOptions {
  /** Bytes of the body that arrive after the head. */
  readonly body?: number
  readonly upgrade?: boolean
  /** The handler ignores its interruption. */
  readonly uninterruptible?: boolean
}

/** A request, its response, and its handler. */
export class SimulatedExchange extends Exchange {
  headSent = false
  announcesClose = false
  written = false
  awaitsReader = false
  reading = true
  private bodyLeft: number
  readonly isUpgrade: boolean
  longLivedSince: number
  bodyProgressAt: number
  headSentAt = Infinity
  responseEndedAt = Infinity
  readonly uninterruptible: boolean
  private readonly simulation: Simulation
  constructor(
    readonly client: SimulatedConnection,
    readonly name: string,
    { body = 0, uninterruptible = false, upgrade = false }: RequestOptions
  ) {
    super(client, true, upgrade)
    this.isUpgrade = upgrade
    this.uninterruptible = uninterruptible
    this.simulation = client.simulation
    this.longLivedSince = this.bodyProgressAt = client.simulation.now
    this.bodyLeft = body
  }
  get bodyState() {
    return this.bodyLeft === 0 ? "Complete" : this.reading ? "Awaited" : "Unread"
  }
  sendBody(bytes: number): void {
    const sent = Math.min(bytes, this.bodyLeft)
    this.bodyLeft -= sent
    this.bodyProgressAt = this.simulation.now
    this.client.receive(sent)
  }
  announceClose(): void {
    if (this.isUpgrade) return
    this.simulation.record(`${this.name} announces close`)
    this.announcesClose = true
  }
  retractClose(): void {
    this.simulation.record(`${this.name} retracts close`)
    this.announcesClose = false
  }
  requestClose(): void {
    this.simulation.record(`${this.name} is asked to close`)
  }
  sendHead(): void {
    if (this.headSent || this.responseEnded || this.isUpgrade) return
    this.headSent = true
    this.headSentAt = this.simulation.now
  }
  becomeStream(): void {
    if (this.complete || this.isUpgrade) return
    this.sendHead()
    if (!this.longLived) this.longLivedSince = this.simulation.now
    this.simulation.policy.onStream(this)
  }
  /** The handler writes the whole response and exits. Responses are sent in the order of their requests. */
  finish(status = 200): void {
    if (this.handlerExited) return
    if (!this.written && !this.isUpgrade && !this.client.closed) {
      if (!this.headSent) {
        this.simulation.record(`${this.name} responds ${status}${this.announcesClose ? ", close" : ""}`)
      }
      this.sendHead()
      this.written = true
      this.simulation.sendResponses(this.client)
    }
    this.simulation.policy.onHandlerExited(this)
    if (this.isUpgrade) this.client.idleSince = this.simulation.now
  }
  interrupt(): void {
    this.simulation.record(`${this.name} is interrupted`, this.client)
    this.finishSoon(503)
  }
  timeOut(): void {
    this.simulation.record(`${this.name} is timed out`)
    if (!this.headSent) {
      this.announcesClose = this.written = true
      this.sendHead()
      this.simulation.sendResponses(this.client)
    } else if (this.client.pendingResponses === 1) this.client.destroy()
    this.finishSoon()
  }
  onDisconnect(): void {
    this.finishSoon()
  }
  onComplete(): void {}
  private finishSoon(status?: number): void {
    if (!this.uninterruptible) this.simulation.at(this.simulation.now, () => this.finish(status))
  }
}

/** A server's policy in virtual time: the test schedules what clients and handlers do. */
export class Simulation {
  now = 0
  readonly journal: Array<string> = []
  readonly connections: Array<SimulatedConnection> = []
  private scheduled: Array<{ readonly at: number; readonly action: () => void }> = []
  readonly policy = new ConnectionDrainPolicy(timeouts, () => this.now)
  /** Idle connections that the policy does without. */
  readonly hibernating = new Set<Connection>()
  onRecord: (connection: SimulatedConnection | undefined, entry: string) => void = () => {}

  constructor() {
    this.policy.hibernation = {
      hibernate: (connection) => {
        const hibernates = !connection.upgraded && !connection.multiplexed
        if (hibernates) this.hibernating.add(connection)
        return hibernates
      },
      resumeAll: () => this.hibernating.forEach((connection) => this.resume(connection))
    }
  }
  resume(connection: Connection): void {
    if (this.hibernating.delete(connection)) this.policy.onConnectionResumed(connection)
  }
  record(entry: string, connection?: SimulatedConnection): void {
    this.journal.push(`${this.now} ${entry}`)
    this.onRecord(connection, entry)
  }
  connect(name = `c${this.connections.length + 1}`): SimulatedConnection {
    return this.open(new SimulatedConnection(this, name))
  }
  open<A extends SimulatedConnection>(connection: A): A {
    this.connections.push(connection)
    connection.idleSince = this.now
    this.policy.onConnectionOpened(connection)
    return connection
  }
  at(time: number, action: () => void): void {
    this.scheduled.push({ at: time, action })
    this.scheduled.sort((a, b) => a.at - b.at)
  }
  /** As Node does: sends responses in order, and closes the connection after one that announces it. */
  sendResponses(connection: SimulatedConnection): void {
    for (const request of connection.requests) {
      if (request.responseEnded) continue
      if (!request.written) return
      this.policy.onResponseEnded(request)
      request.responseEndedAt = this.now
      connection.idleSince = this.now
      if (request.announcesClose) return this.policy.onConnectionClosed(connection)
    }
  }
  run(until: number): void {
    const { bodyTimeouts, clientTimeouts, idleTimeouts, streamTimeouts } = this.policy
    const queues = [idleTimeouts, clientTimeouts, bodyTimeouts, streamTimeouts]
    while (true) {
      const first = this.scheduled[0]
      const dueAt = Math.min(...queues.map((queue) => this.now + (queue.untilNext() ?? Infinity)))
      const next = Math.min(dueAt, first?.at ?? Infinity)
      if (next > until) break
      this.now = Math.max(this.now, next)
      if (first !== undefined && first.at <= dueAt) {
        this.scheduled.shift()
        first.action()
      } else queues.forEach((queue) => queue.expire(1, this.now))
    }
    this.now = until
  }
  /** As the server does at `drainTimeout`: cuts every exchange, and then closes every connection. */
  timeOutDrain(): void {
    this.record("drainTimeout")
    for (const connection of this.connections) {
      for (const exchange of [...connection.exchanges]) this.policy.cutExchange(exchange)
    }
    this.run(this.now + 10)
    for (const connection of [...this.policy.connections]) this.policy.closeConnection(connection)
    for (const connection of [...this.policy.connections]) this.policy.destroyConnection(connection)
  }
}
