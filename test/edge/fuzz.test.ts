// Sends the servers what no client should send. LASTCALL_INPUTS sets the number of connections, such as 20000. LASTCALL_FROM
// skips the rounds before an input of a failure, and repeats the others.
import { afterEach, assert, describe, it } from "vitest"
import { type Ending, type Received, send, type Sending, split } from "../fixtures/http/fuzz/client.js"
import { http1Input } from "../fixtures/http/fuzz/http1.js"
import { http2Input } from "../fixtures/http/fuzz/http2.js"
import { Ids, pathOf } from "../fixtures/http/fuzz/input.js"
import { Child } from "../kit/child.js"
import { long } from "../kit/long.js"
import { bundle } from "../kit/programs.js"
import { Choices, seed } from "../kit/random.js"

const inputs = Number(process.env["LASTCALL_INPUTS"] ?? (long ? 7_500 : 1_500))

const from = Number(process.env["LASTCALL_FROM"] ?? 0)

/** A round serves, and then drains. */
const rounds = Math.max(2, Math.round(inputs / 2500))
const drainedInRound = 150
const servedInRound = Math.ceil(inputs / rounds) - drainedInRound

/** Rounds after which the heap has its size: V8 has compiled the code, in a long run also what is rarely reached. */
const warmUp = Math.max(2, Math.ceil(rounds / 10))

const concurrency = 50

/** In milliseconds, for a machine that is busy otherwise. */
const timeout = 300_000 + 60 * inputs

const kinds = ["http1", "http2", "drained"] as const
type Kind = (typeof kinds)[number]

interface Progress {
  readonly finished: number
  readonly cut: number
  readonly inFlight: number
}

type State = Record<Kind, Progress> & {
  readonly connections: Record<Kind, number>
  readonly heap: number
  readonly handled: number
  readonly violations: ReadonlyArray<string>
}

type Reports = {
  readonly reports: Record<Kind, { readonly outcome: string; readonly finished: number; readonly cut: number }>
}

/** The process of the servers, and the lines that it prints. */
class Service {
  private lines = 0
  readonly child = new Child(
    process.execPath,
    ["--expose-gc", bundle("test/fixtures/http/fuzz/service.ts")],
    {},
    undefined,
    "pipe"
  )
  /** The next line. Anything else that the process prints, such as an error that ends it, is a failure. */
  readonly next = async <A>(): Promise<A> => {
    const line = this.lines++
    const text = await this.child.waitForValue(`line ${line}`, () => {
      const lines = this.child.output.split("\n")
      return lines.length > line + 1 ? lines[line]! : null
    })
    if (text.startsWith("{")) return JSON.parse(text) as A
    await Promise.race([this.child.ended, new Promise((resolve) => setTimeout(resolve, 1000))])
    throw new Error(this.child.output.split("\n").slice(line).join("\n"))
  }
  readonly command = <A>(name: "start" | "state" | "open" | "drain"): Promise<A> => {
    this.child.process.stdin!.write(`${name}\n`)
    return this.next()
  }
}

const endings: ReadonlyArray<Ending> = ["End", "End", "EndAtOnce", "Reset"]

const ids = new Ids()
let made = 0

/** The next input of the run, for one of the servers. */
const sending = (ports: Record<Kind, number>, draining: boolean): Sending & { readonly name: string } => {
  const choices = new Choices(seed * 1_000_003 + made)
  const kind = choices.pick(kinds)
  const held = draining && kind !== "http2" && choices.chance(0.3)
  const input = held
    ? {
      shape: "a response without an end",
      bytes: Buffer.from(
        `GET ${
          pathOf(choices.pick(["hang", "rows", "events", "large"]), ids.next(), Buffer.alloc(0))
        } HTTP/1.1\r\nHost: test\r\n\r\n`
      ),
      ids: undefined
    }
    : kind === "http2"
    ? http2Input(choices, ids)
    : http1Input(choices, ids, kind === "http1")
  const whole = split(choices, input.bytes)
  const reads = !draining || choices.chance(0.9)
  return {
    name: `LASTCALL_SEED=${seed}, input ${made++}, ${kind}: ${input.shape}`,
    port: ports[kind],
    input,
    ending: held ? "Never" : draining ? choices.pick([...endings, "Never" as const]) : choices.pick(endings),
    parts: draining && whole.length === 1 ? [whole[0]!, Buffer.alloc(0)] : whole,
    reads,
    // Node 20 leaves a connection open whose client breaks the protocol of HTTP/2, as long as the client does.
    waits: reads && (draining || kind !== "http2" || input.ids !== undefined)
  }
}

const problems: Array<string> = []

const check = (name: string, { problem }: Received) => {
  if (problem !== undefined) problems.push(`${name}: ${problem}`)
}

/** What was sent in this round, by the port of its client. */
const sent = new Map<number, { readonly sending: Sending & { readonly name: string }; readonly received: string }>()

/** Sends so many inputs, some of them at the same time. */
const serve = async (ports: Record<Kind, number>, count: number) => {
  let left = count
  const client = async () => {
    while (left-- > 0) {
      const next = sending(ports, false)
      const received = await send(next)
      sent.set(received.from, { sending: next, received: received.text })
      check(next.name, received)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, client))
}

/** Makes the inputs of a round, and does not send them. */
const skip = () => {
  const nowhere = { http1: 0, http2: 0, drained: 0 }
  for (let n = 0; n < servedInRound + drainedInRound; n++) sending(nowhere, n >= servedInRound)
}

const sum = (state: Record<Kind, Progress>, count: (progress: Progress) => number) =>
  kinds.reduce((total, kind) => total + count(state[kind]), 0)

/** Each connection that is open, as the server sees it, with what its client has sent and received. */
const describeOpen = async (service: Service): Promise<string> => {
  const shown = (text: string) => JSON.stringify(text.slice(0, 2000)) + (text.length > 2000 ? ` of ${text.length}` : "")
  const open = await service.command<Record<number, unknown>>("open")
  return Object.entries(open).map(([port, server]) => {
    const { received, sending } = sent.get(Number(port)) ?? {}
    if (sending === undefined) return `a client that is not known: ${JSON.stringify(server)}`
    return [
      sending.name,
      `server: ${JSON.stringify(server)}`,
      `sent, then ${sending.ending}, in parts of ${sending.parts.map((part) => part.length).join()} bytes: ${
        shown(sending.input.bytes.toString("latin1"))
      }`,
      `received: ${shown(received ?? "")}`
    ].join("\n  ")
  }).join("\n")
}

/** Completes once nothing is open. On Node 20 the server takes 5 seconds to notice that clients of HTTP/2 have gone. */
const settled = async (service: Service) => {
  for (let tries = 0; tries < 120; tries++) {
    const state = await service.command<State>("state")
    if (kinds.every((kind) => state.connections[kind] + state[kind].inFlight === 0)) return
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  const state = service.child.output.split("\n").at(-2)
  throw new Error(`LASTCALL_SEED=${seed}, not settled: ${state}\n${await describeOpen(service)}`)
}

const signal = () => {
  let resolve = () => {}
  const promise = new Promise<void>((_) => (resolve = _))
  return { promise, resolve }
}

/** Begins the drain while connections are in every state. */
const drain = async (service: Service, ports: Record<Kind, number>) => {
  const [begun, ended] = [signal(), signal()]
  const all = Array.from({ length: drainedInRound }, () => sending(ports, true))
  const received = all.map(async (next) =>
    check(next.name, await send(next, { begun: begun.promise, ended: ended.promise }))
  )
  await service.command<State>("state")
  const before = await service.command<Record<Kind, Progress>>("drain")
  begun.resolve()
  const after = await service.next<State & Reports>()
  ended.resolve()
  await Promise.all(received)
  for (const kind of kinds) {
    const { cut, finished, outcome } = after.reports[kind]
    assert.include(["Drained", "Interrupted"], outcome, kind)
    const ended = after[kind].finished + after[kind].cut
    assert.isAtMost(finished + cut, ended, kind)
    assert.isAtLeast(finished + cut, ended - before[kind].finished - before[kind].cut, kind)
  }
  return after
}

let service: Service | undefined

afterEach(() => service?.child.end())

describe("servers under invalid input", () => {
  const total = rounds * (servedInRound + drainedInRound)
  it(
    `of ${total} connections neither crash nor hang, leave nothing open or in memory, and pass on only complete requests, also in their drains`,
    { timeout },
    async () => {
      service = new Service()
      const heaps: Array<number> = []
      let handled = 0
      for (let round = 0; round < rounds; round++) {
        if (made + servedInRound + drainedInRound <= from) {
          skip()
          continue
        }
        sent.clear()
        const ports = await service.command<Record<Kind, number>>("start")
        await serve(ports, servedInRound)
        await settled(service)
        const { connections, heap, violations, ...state } = await drain(service, ports)
        assert.deepStrictEqual(violations, [], `LASTCALL_SEED=${seed}`)
        assert.deepStrictEqual(problems, [])
        assert.deepStrictEqual([connections, sum(state, (_) => _.inFlight)], [{ http1: 0, http2: 0, drained: 0 }, 0])
        assert.strictEqual(sum(state, (_) => _.finished + _.cut), state.handled - handled)
        handled = state.handled
        heaps.push(heap)
      }
      console.log(
        `LASTCALL_SEED=${seed}: ${total} inputs, ${handled} requests handled, heap ${
          heaps.map((_) => (_ / 1e6).toFixed(1)).join(" ")
        } MB`
      )
      if (heaps.length > warmUp) {
        assert.isBelow(heaps.at(-1)!, 1.1 * heaps[warmUp - 1]!, `LASTCALL_SEED=${seed}: ${heaps}`)
      }
      service.child.process.stdin!.end()
      assert.deepStrictEqual(await service.child.ended, { code: 0, signal: null })
    }
  )
})
