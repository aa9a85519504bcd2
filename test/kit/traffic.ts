// Clients on raw sockets, that know what became of each request they wrote.
import * as Net from "node:net"

export interface Habits {
  /** Milliseconds between an answer and the next request, half as many to half as many more. None by default: back to back. */
  readonly think?: number
  /** Milliseconds that the network takes, each way. */
  readonly delay?: number
  readonly path?: string
  /** Every request on a connection of its own. By default a connection is kept for as long as it may be. */
  readonly fresh?: boolean
}

/** What became of all requests. */
export interface Tally {
  established: number
  answered: number
  /** Responses with `Connection: close`. */
  told: number
  /** Written to a connection that had answered before, then reset, closed or never answered. */
  readonly dropped: Array<string>
  /** The same on a connection that had not answered before. */
  readonly unheard: Array<string>
  /** Answers that were no success. */
  readonly failed: Array<string>
  /** When the last answer came, as `performance.now()`. */
  last: number
}

/** An answer, or the end of the connection. */
type Event = { readonly status: string; readonly close: boolean } | "closed" | "reset"

const patience = 10_000

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const later = (ms: number, run: () => void) => {
  if (ms === 0) run()
  else setTimeout(run, ms)
}

/** A connection at the far end of a network: what is written and what is heard is as old as its delay. */
class Line {
  private text = ""
  private readonly events: Array<Event> = []
  private wake: () => void = () => undefined

  private constructor(private readonly socket: Net.Socket, private readonly delay: number) {
    const hear = (event: Event) => {
      this.events.push(event)
      this.wake()
    }
    socket.setNoDelay(true).setEncoding("latin1").on("data", (chunk: string) => {
      this.text += chunk
      for (let event = this.next(); event !== undefined; event = this.next()) {
        const heard = event
        later(delay, () => hear(heard))
      }
    })
    socket.on("error", () => undefined).once("close", (failed) => later(delay, () => hear(failed ? "reset" : "closed")))
  }

  /** None when the connection is refused. */
  static readonly open = (port: number, delay: number) =>
    new Promise<Line | undefined>((resolve) => {
      const socket = Net.connect({ port, host: "127.0.0.1" })
      const refused = () => resolve(undefined)
      socket.once("error", refused).once("connect", () => {
        socket.off("error", refused)
        resolve(new Line(socket, delay))
      })
    })

  /** Takes a whole answer off what has come. */
  private next(): Event | undefined {
    const end = this.text.indexOf("\r\n\r\n") + 4
    if (end === 3) return undefined
    const head = this.text.slice(0, end)
    const length = end + Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
    if (this.text.length < length) return undefined
    this.text = this.text.slice(length)
    return { status: head.slice(9, 12), close: /^connection: close\r$/im.test(head) }
  }

  /** The connection is closed, as far as this end knows. */
  get ended() {
    return this.events.length > 0
  }

  async ask(path: string): Promise<Event | "unanswered"> {
    later(this.delay, () => this.socket.write(`GET ${path} HTTP/1.1\r\nHost: service\r\n\r\n`))
    if (this.events.length === 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, patience)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.events.shift() ?? "unanswered"
  }

  close() {
    this.socket.destroy()
  }
}

/** Clients that ask, and ask again, each until its port refuses it or they are told to stop. */
export class Traffic {
  readonly tally: Tally = { established: 0, answered: 0, told: 0, dropped: [], unheard: [], failed: [], last: 0 }
  /** Completes when every client has stopped. */
  readonly ended: Promise<Tally>
  private going = true
  private thoughts = 0
  private readonly heard = new Set<number>()
  private readonly waiting = new Set<() => void>()

  constructor(private readonly port: number, private readonly clients: number, private readonly habits: Habits = {}) {
    const all = Array.from({ length: clients }, (_, client) => this.run(client))
    this.ended = Promise.all(all).then(() => this.tally)
  }

  /** Completes when every client was answered, and this many more answers have come. */
  readonly flows = (answers = 0) =>
    new Promise<void>((resolve) => {
      const goal = this.tally.answered + answers
      const check = () => {
        if (this.heard.size < this.clients || this.tally.answered < goal) return
        this.waiting.delete(check)
        resolve()
      }
      this.waiting.add(check)
      check()
    })

  stop() {
    this.going = false
    return this.ended
  }

  private async run(client: number) {
    const { delay = 0 } = this.habits
    while (this.going) {
      const line = await Line.open(this.port, delay)
      if (line === undefined) return
      this.tally.established++
      await this.use(client, line)
      line.close()
      await this.think()
    }
  }

  /** As long as the habit is, on average: were it always as long, all of them would soon ask at the same time. */
  private async think() {
    const { think = 0 } = this.habits
    this.thoughts = (this.thoughts + 17) % 50
    if (think > 0) await wait(think * (0.5 + this.thoughts / 50))
  }

  /** Until the connection ends, or is to end. */
  private async use(client: number, line: Line) {
    const { fresh = false, path = "/" } = this.habits
    const { tally } = this
    for (let known = false; this.going && !line.ended; known = true) {
      const event = await line.ask(path)
      if (typeof event === "string") {
        ;(known ? tally.dropped : tally.unheard).push(event)
        return
      }
      tally.last = performance.now()
      tally.answered++
      if (event.status !== "200") tally.failed.push(event.status)
      if (event.close) tally.told++
      this.heard.add(client)
      this.waiting.forEach((check) => check())
      if (event.close || fresh) return
      await this.think()
    }
  }
}
