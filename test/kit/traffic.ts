// HTTP clients on raw sockets that record the result of each request.
import * as Net from "node:net"

export interface Options {
  /** Milliseconds from a response to the next request, on average. Zero by default: back to back. */
  readonly think?: number
  /** The latency of the network in milliseconds, each way. */
  readonly delay?: number
  readonly path?: string
  /** Whether each request has a connection of its own. By default a connection is kept for as long as the server allows. */
  readonly fresh?: boolean
}

/** The results of all requests. */
export interface Tally {
  connections: number
  responses: number
  /** Responses with `Connection: close`. */
  saidClose: number
  /** Requests on a connection with an earlier response that were reset, closed or left without a response. */
  readonly dropped: Array<string>
  /** The same for requests on a connection without an earlier response. */
  readonly droppedOnNew: Array<string>
  /** The status of each response other than 200. */
  readonly failed: Array<string>
}

/** A response, or the end of the connection. */
type Event = { readonly status: string; readonly close: boolean } | "closed" | "reset"

const responseTimeout = 30_000

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const after = (ms: number, run: () => void) => {
  if (ms === 0) run()
  else setTimeout(run, ms)
}

/** A connection over a network with latency: everything that is written or received arrives late by the delay. */
class Connection {
  private text = ""
  private readonly events: Array<Event> = []
  private wake: () => void = () => undefined

  private constructor(private readonly socket: Net.Socket, private readonly delay: number) {
    const receive = (event: Event) =>
      after(delay, () => {
        this.events.push(event)
        this.wake()
      })
    socket.setNoDelay(true).setEncoding("latin1").on("data", (chunk: string) => {
      this.text += chunk
      for (let response = this.nextResponse(); response !== undefined; response = this.nextResponse()) receive(response)
    })
    socket.on("error", () => undefined).once("close", (failed) => receive(failed ? "reset" : "closed"))
  }

  /** Resolves to undefined when the connection is refused. */
  static readonly open = (port: number, delay: number) =>
    new Promise<Connection | undefined>((resolve) => {
      const socket = Net.connect({ port, host: "127.0.0.1" })
      const refused = () => resolve(undefined)
      socket.once("error", refused).once("connect", () => {
        socket.off("error", refused)
        resolve(new Connection(socket, delay))
      })
    })

  /** Takes a complete response from the received text. */
  private nextResponse(): Event | undefined {
    const end = this.text.indexOf("\r\n\r\n") + 4
    if (end === 3) return undefined
    const head = this.text.slice(0, end)
    const length = end + Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
    if (this.text.length < length) return undefined
    this.text = this.text.slice(length)
    return { status: head.slice(9, 12), close: /^connection: close\r$/im.test(head) }
  }

  /** Whether the client knows that the connection is closed. */
  get isClosed() {
    return this.events.length > 0
  }

  async request(path: string): Promise<Event | "no response"> {
    after(this.delay, () => this.socket.write(`GET ${path} HTTP/1.1\r\nHost: service\r\n\r\n`))
    if (this.events.length === 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, responseTimeout)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.events.shift() ?? "no response"
  }

  close() {
    this.socket.destroy()
  }
}

/** Clients that send one request after the other, until the port refuses connections or `stop` is called. */
export class Traffic {
  readonly tally: Tally = { connections: 0, responses: 0, saidClose: 0, dropped: [], droppedOnNew: [], failed: [] }
  /** Resolves when every client has stopped. */
  readonly ended: Promise<Tally>
  private stopping = false
  private thoughts = 0
  private readonly served = new Set<number>()
  private readonly waiting = new Set<() => void>()

  constructor(private readonly port: number, private readonly clients: number, private readonly options: Options = {}) {
    const all = Array.from({ length: clients }, (_, client) => this.run(client))
    this.ended = Promise.all(all).then(() => this.tally)
  }

  /** Resolves when every client has had a response, and so many more responses have arrived. */
  readonly flows = (responses = 0) =>
    new Promise<void>((resolve) => {
      const goal = this.tally.responses + responses
      const check = () => {
        if (this.served.size < this.clients || this.tally.responses < goal) return
        this.waiting.delete(check)
        resolve()
      }
      this.waiting.add(check)
      check()
    })

  stop() {
    this.stopping = true
    return this.ended
  }

  private async run(client: number) {
    const { delay = 0 } = this.options
    while (!this.stopping) {
      const connection = await Connection.open(this.port, delay)
      if (connection === undefined) return
      this.tally.connections++
      await this.use(client, connection)
      connection.close()
      await this.think()
    }
  }

  /** Varies from half to one and a half of the think time, so that the clients do not synchronize. */
  private async think() {
    const { think = 0 } = this.options
    this.thoughts = (this.thoughts + 17) % 50
    if (think > 0) await sleep(think * (0.5 + this.thoughts / 50))
  }

  /** Sends requests until the connection is closed, or must be. */
  private async use(client: number, connection: Connection) {
    const { fresh = false, path = "/" } = this.options
    const { tally } = this
    for (let isNew = true; !this.stopping && !connection.isClosed; isNew = false) {
      const event = await connection.request(path)
      if (typeof event === "string") {
        ;(isNew ? tally.droppedOnNew : tally.dropped).push(event)
        return
      }
      tally.responses++
      if (event.status !== "200") tally.failed.push(event.status)
      if (event.close) tally.saidClose++
      this.served.add(client)
      this.waiting.forEach((check) => check())
      if (event.close || fresh) return
      await this.think()
    }
  }
}
