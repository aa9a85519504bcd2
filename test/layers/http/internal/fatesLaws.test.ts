import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { bounds, type Client, type Request, World } from "./world.js"

const runs = process.env["LASTCALL_LONG"] === undefined ? 1000 : 5000

const told = 2000
const drained = 3000
const bound = 13_000

const steps = ["head", "body", "upgrade", "send", "read", "headers", "stream", "leave"] as const

/** What happens to one connection: how long after what came before it, and to which of its requests. */
const step = FastCheck.record({
  after: FastCheck.constantFrom(0, 1, 50, 190, 250, 1900, 2100, 4000),
  what: FastCheck.oneof(
    FastCheck.constantFrom("request" as const, "finish" as const),
    FastCheck.constantFrom(...steps)
  ),
  which: FastCheck.integer({ min: 0, max: 2 }),
  deaf: FastCheck.integer({ min: 0, max: 9 }).map((n) => n === 0)
})

/** A connection: it comes some time before the drain, or in its first moment. */
const script = FastCheck.record({
  from: FastCheck.constantFrom(0, told - 1, told + 100, drained - 300, drained - 100, drained - 1, drained),
  steps: FastCheck.array(step, { maxLength: 14 })
})

type Script = typeof script extends FastCheck.Arbitrary<infer A> ? A : never

const perform = (client: Client, { deaf, what, which }: Script["steps"][number]): void => {
  const request = client.requests[which]
  switch (what) {
    case "head":
      return client.receive(5)
    case "request":
      return void client.request({ deaf })
    case "body":
      return void client.request({ deaf, body: 20 })
    case "upgrade":
      return void (client.unanswered === 0 && client.request({ deaf, upgrade: true }))
    case "send":
      return request?.send(10)
    case "read":
      return void (request !== undefined && (request.reading = !request.reading))
    case "headers":
      return request?.sendHead()
    case "stream":
      return request?.stream()
    case "finish":
      return request?.finish()
    case "leave":
      return client.leave()
  }
}

/** Plays the scripts, and tells of every moment at which something is done to a connection. */
const play = (
  scripts: ReadonlyArray<Script>,
  watch: (world: World, client: Client, what: string) => void = () => {},
  atBound: (world: World) => void = () => {}
): World => {
  const world = new World()
  world.onNote = (client, what) => client !== undefined && watch(world, client, what)
  scripts.forEach(({ from, steps }, index) =>
    world.at(from, () => {
      const client = world.connect(`c${index + 1}`)
      let at = from
      for (const step of steps) {
        at += step.after
        if (at < bound) world.at(at, () => perform(client, step))
      }
    })
  )
  world.at(told, () => world.fates.tell())
  world.at(drained, () => world.fates.drain())
  world.run(bound)
  atBound(world)
  world.bound()
  world.run(bound + 10_000)
  return world
}

const holds = (name: string, law: (scripts: ReadonlyArray<Script>) => void) =>
  it(name, () => {
    const scripts = FastCheck.array(script, { minLength: 1, maxLength: 2 })
    FastCheck.assert(FastCheck.property(scripts, law), { numRuns: runs, seed: 7 })
  })

const requests = (world: World): ReadonlyArray<Request> => world.clients.flatMap((client) => client.requests)

const journal = (world: World) => world.journal.join("\n")

describe("the fates of connections, whatever happens on them", () => {
  holds("in the end all are closed, every handler that listens has exited, and the sums are right", (scripts) => {
    const world = play(scripts)
    const { clients, fates } = world
    const deaf = requests(world).filter((request) => !request.handled)
    assert.deepStrictEqual(clients.filter((client) => !client.closed), [], journal(world))
    assert.isTrue(deaf.every((request) => request.deaf))
    assert.deepStrictEqual(
      [fates.sockets, fates.inFlight, fates.handling, fates.finished + fates.cutOff],
      [0, deaf.length, deaf.length, requests(world).length - deaf.length]
    )
    assert.deepStrictEqual([...fates.open].flatMap((connection) => connection.exchanges), deaf)
  })

  holds("before the bound none is closed under a request, unless its body stands still", (scripts) => {
    play(scripts, (world, client, what) => {
      if (world.now >= bound || !/ is (closed|ended|timed out)$/.test(what)) return
      const waiting = client.requests.filter((request) => !request.answered)
      assert.isTrue(waiting.every((request) => request.cut && request.body === "Owed"), journal(world))
    })
  })

  holds("before the bound only what is long-lived is interrupted, and exactly at its own", (scripts) => {
    const over = (request: Request) => Math.max(drained, request.since) + bounds.streamTimeout
    play(scripts, (world, _, what) => {
      const request = requests(world).find(({ name }) => what === `${name} is interrupted`)
      if (request === undefined || world.now >= bound) return
      assert.isTrue(request.longLived && world.now === over(request), journal(world))
    }, (world) => {
      const late = requests(world).filter((request) => request.longLived && !request.ended && over(request) < bound)
      assert.isTrue(late.every((request) => request.cut), journal(world))
    })
  })

  holds("none is closed before the drain, nor before it was idle for its linger, nor much later", (scripts) => {
    const idleSince = (client: Client) => Math.max(drained, client.idleSince)
    play(scripts, (world, client, what) => {
      if (!/ is (closed|ended|timed out)$/.test(what) || world.now >= bound) return
      assert.isAtLeast(world.now, drained)
      if (client.unanswered === 0) assert.isAtLeast(world.now, idleSince(client) + bounds.idleLinger, journal(world))
    }, (world) => {
      const left = world.clients.filter((client) => !client.closed && client.unanswered === 0)
      const longest = bounds.idleLinger + bounds.stallTimeout
      assert.isTrue(left.every((client) => bound - idleSince(client) <= longest), journal(world))
    })
  })

  holds("a body is given up only when not a byte of it has come for a whole bound", (scripts) => {
    play(scripts, (world, _, what) => {
      const request = requests(world).find(({ name }) => what === `${name} is timed out`)
      if (request === undefined) return
      assert.isAtLeast(world.now - Math.max(drained, request.movedAt), bounds.stallTimeout, journal(world))
    })
  })

  holds("only the last answer of a connection says close, and from lame duck on it does", (scripts) => {
    const world = play(scripts)
    for (const { requests } of world.clients) {
      const sent = requests.filter((request) => request.answeredAt < bound && !request.cut && !request.upgrade)
      const closing = sent.findIndex((request) => request.saysClose)
      assert.isTrue(closing === -1 || closing === sent.length - 1, journal(world))
      const last = sent.at(-1)
      const wasLast = last === requests.at(-1)
      if (last !== undefined && wasLast && last.headAt > told) assert.isTrue(last.saysClose, journal(world))
    }
  })
})
