import { Connection, Exchange } from "../../../../src/layers/http/internal/connection.js"
import { type Bounds, Fates } from "../../../../src/layers/http/internal/fates.js"

/** Milliseconds; different enough that no two of them can be taken for each other. */
export const bounds: Bounds = { idleLinger: 200, stallTimeout: 2000, streamTimeout: 5000 }

/** A client's connection, without a socket: plain data, and a journal of what the fates did to it. */
export class Client extends Connection {
  bytesRead = 0
  /** Since when nobody waits for an answer on it. */
  idleSince = 0
  readonly requests: Array<Request> = []
  constructor(readonly world: World, readonly name: string) {
    super()
  }
  /** What has come of requests. */
  receive(bytes: number): void {
    if (!this.closed) this.bytesRead += bytes
  }
  request(options: RequestOptions = {}): Request | undefined {
    if (this.closed || this.upgraded) return undefined
    this.bytesRead += 10
    const request = new Request(this, `${this.name}/${this.requests.length + 1}`, options)
    if (!this.world.fates.request(request)) {
      this.world.note(`${request.name} is not taken`)
      return undefined
    }
    this.requests.push(request)
    this.world.fates.handle(request)
    return request
  }
  leave(): void {
    this.world.fates.closed(this)
  }
  end(): void {
    this.closing("ended")
  }
  destroy(): void {
    this.closing("closed")
  }
  timeOut(): void {
    this.closing("timed out")
  }
  private closing(how: string): void {
    if (this.closed) return
    this.world.note(`${this.name} is ${how}`, this)
    this.world.fates.closed(this)
  }
}

export interface RequestOptions {
  /** Bytes that it owes after its head. */
  readonly body?: number
  readonly upgrade?: boolean
  /** Its handler ignores interruption. */
  readonly deaf?: boolean
}

/** A request, its answer, and its handler. */
export class Request extends Exchange {
  headSent = false
  saysClose = false
  written = false
  reading = true
  saidGoodbye = false
  private owed: number
  readonly client: Client
  readonly upgrade: boolean
  /** When it became long-lived. */
  since: number
  /** When its body last moved. */
  movedAt: number
  headAt = Infinity
  answeredAt = Infinity
  readonly deaf: boolean
  constructor(client: Client, readonly name: string, { body = 0, deaf = false, upgrade = false }: RequestOptions) {
    super(client, true, upgrade)
    this.client = client
    this.upgrade = upgrade
    this.deaf = deaf
    this.since = this.movedAt = client.world.now
    this.owed = body
  }
  get body() {
    return this.owed === 0 ? "Whole" : this.reading ? "Owed" : "Unread"
  }
  send(bytes: number): void {
    const sent = Math.min(bytes, this.owed)
    this.owed -= sent
    this.movedAt = this.client.world.now
    this.client.receive(sent)
  }
  sayClose(close: boolean): void {
    if (this.upgrade) return
    this.client.world.note(`${this.name} ${close ? "says close" : "keeps"}`)
    this.saysClose = close
  }
  sayGoodbye(): void {
    this.saidGoodbye = true
    this.client.world.note(`${this.name} says 1001`)
  }
  sendHead(): void {
    if (this.headSent || this.answered || this.upgrade) return
    this.headSent = true
    this.headAt = this.client.world.now
  }
  stream(): void {
    if (this.ended || this.upgrade) return
    this.sendHead()
    if (!this.longLived) this.since = this.client.world.now
    this.client.world.fates.streaming(this)
  }
  /** Its handler has written everything, and exits. Answers leave in their order. */
  finish(status = 200): void {
    if (this.handled) return
    if (!this.written && !this.upgrade && !this.client.closed) {
      if (!this.headSent) this.client.world.note(`${this.name} answers ${status}${this.saysClose ? ", close" : ""}`)
      this.sendHead()
      this.written = true
      this.client.world.flush(this.client)
    }
    this.client.world.fates.handled(this)
    if (this.upgrade) this.client.idleSince = this.client.world.now
  }
  interrupt(): void {
    this.client.world.note(`${this.name} is interrupted`, this.client)
    if (!this.deaf) this.client.world.soon(() => this.finish(503))
  }
  timeOut(): void {
    this.client.world.note(`${this.name} is timed out`)
    if (!this.headSent) {
      this.saysClose = this.written = true
      this.sendHead()
      this.client.world.flush(this.client)
    } else if (this.client.unanswered === 1) this.client.destroy()
    if (!this.deaf) this.client.world.soon(() => this.finish())
  }
  gone(): void {
    if (!this.deaf) this.client.world.soon(() => this.finish())
  }
  forget(): void {}
}

/** Virtual time, and what happens in it: the waits of the fates, and what the test has planned. */
export class World {
  now = 0
  readonly journal: Array<string> = []
  readonly clients: Array<Client> = []
  private plans: Array<{ readonly at: number; readonly what: () => void }> = []
  readonly fates = new Fates(bounds, () => this.now)
  /** Called with everything that is noted. */
  onNote: (client: Client | undefined, what: string) => void = () => {}

  note(what: string, client?: Client): void {
    this.journal.push(`${this.now} ${what}`)
    this.onNote(client, what)
  }
  connect(name = `c${this.clients.length + 1}`): Client {
    const client = new Client(this, name)
    this.clients.push(client)
    client.idleSince = this.now
    this.fates.accepted(client)
    return client
  }
  at(time: number, what: () => void): void {
    this.plans.push({ at: time, what })
    this.plans.sort((a, b) => a.at - b.at)
  }
  soon(what: () => void): void {
    this.at(this.now, what)
  }
  /** As Node does it: in order, and a connection is closed behind an answer that says so. */
  flush(client: Client): void {
    for (const request of client.requests) {
      if (request.answered) continue
      if (!request.written) return
      this.fates.answered(request)
      request.answeredAt = this.now
      client.idleSince = this.now
      if (request.saysClose) return this.fates.closed(client)
    }
  }
  /** Lets time pass until then. */
  run(until: number): void {
    const waits = [this.fates.lingering, this.fates.heads, this.fates.bodies, this.fates.streams]
    while (true) {
      const plan = this.plans[0]
      const due = Math.min(...waits.map((_) => this.now + (_.left() ?? Infinity)))
      const next = Math.min(due, plan?.at ?? Infinity)
      if (next > until) break
      this.now = Math.max(this.now, next)
      if (plan !== undefined && plan.at <= due) {
        this.plans.shift()
        plan.what()
      } else waits.forEach((_) => _.elapse(1, this.now))
    }
    this.now = until
  }
  /** The end of the drain's own time, as the server does it: all are cut, and whatever is left is closed. */
  bound(): void {
    this.note("bound")
    for (const client of this.clients) for (const exchange of [...client.exchanges]) this.fates.cut(exchange)
    this.run(this.now + 10)
    this.fates.close()
    for (const connection of [...this.fates.open]) this.fates.destroy(connection)
  }
}
