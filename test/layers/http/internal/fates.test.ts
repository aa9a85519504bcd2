import { assert, describe, it } from "@effect/vitest"
import { World } from "./world.js"

describe("the fates of connections", () => {
  it("idle connections linger and are closed; one that is used meanwhile is answered, with close", () => {
    const world = new World()
    const idle = world.connect("idle")
    const used = world.connect("used")
    idle.request()!.finish()
    used.request()!.finish()
    world.at(1000, () => world.fates.drain())
    world.at(1150, () => used.request())
    world.at(1900, () => used.requests[1]!.finish())
    world.run(9000)
    assert.deepStrictEqual(world.journal, [
      "0 idle/1 answers 200",
      "0 used/1 answers 200",
      "1150 used/2 says close",
      "1200 idle is closed",
      "1900 used/2 answers 200, close"
    ])
    assert.strictEqual(world.fates.open.size, 0)
  })

  it("from lame duck on the answers that are not sent say close, and idle connections stay", () => {
    const world = new World()
    const idle = world.connect("idle")
    const busy = world.connect("busy")
    const begun = world.connect("begun")
    busy.request()
    begun.request()!.headSent = true
    world.at(1000, () => world.fates.tell())
    world.at(2000, () => begun.requests[0]!.finish())
    world.at(3000, () => world.connect("new").request()!.finish())
    world.at(4000, () => busy.requests[0]!.finish())
    world.run(60_000)
    assert.deepStrictEqual(world.journal, [
      "1000 busy/1 says close",
      "3000 new/1 says close",
      "3000 new/1 answers 200, close",
      "4000 busy/1 answers 200, close"
    ])
    assert.deepStrictEqual([...world.fates.open], [idle, begun])
  })

  it("an answer whose head was sent is finished, and its connection closed after a linger", () => {
    const world = new World()
    const client = world.connect("c")
    client.request()!.headSent = true
    world.at(1000, () => world.fates.drain())
    world.at(3000, () => client.requests[0]!.finish())
    world.run(9000)
    assert.deepStrictEqual(world.journal, ["3200 c is closed"])
  })

  it("of pipelined answers the last one that is not sent says close, and what comes behind it is not taken", () => {
    const world = new World()
    const client = world.connect("c")
    world.at(1000, () => client.request())
    world.at(1001, () => client.request())
    world.at(1002, () => world.fates.drain())
    world.at(1003, () => client.request())
    world.at(1004, () => client.requests[2]!.headSent = true)
    world.at(1005, () => client.request())
    world.at(2000, () => client.requests.forEach((request) => request.finish()))
    world.run(9000)
    assert.deepStrictEqual(world.journal, [
      "1002 c/2 says close",
      "1003 c/2 keeps",
      "1003 c/3 says close",
      "1005 c/4 is not taken",
      "2000 c/1 answers 200",
      "2000 c/2 answers 200"
    ])
    assert.deepStrictEqual([world.fates.finished, world.fates.cutOff, world.fates.open.size], [3, 0, 0])
  })

  it("half a head has its own deadline, whether it was there before or comes during the linger", () => {
    const world = new World()
    const before = world.connect("before")
    const during = world.connect("during")
    const whole = world.connect("whole")
    world.at(900, () => before.receive(5))
    world.at(900, () => whole.receive(5))
    world.at(1000, () => world.fates.drain())
    world.at(1100, () => during.receive(5))
    world.at(2500, () => whole.request()!.finish())
    world.run(9000)
    assert.deepStrictEqual(world.journal, [
      "2500 whole/1 says close",
      "2500 whole/1 answers 200, close",
      "3000 before is timed out",
      "3200 during is timed out"
    ])
  })

  it("a body that stands still is given up; one that moves, or that nobody reads, is not", () => {
    const world = new World()
    const [still, moves, unread, begun] = ["still", "moves", "unread", "begun"].map((name) => {
      const client = world.connect(name)
      client.request({ body: 30 })
      return client
    })
    unread!.requests[0]!.reading = false
    begun!.requests[0]!.headSent = true
    world.at(1000, () => world.fates.drain())
    for (const time of [2000, 4000, 6000]) world.at(time, () => moves!.requests[0]!.send(10))
    world.at(7000, () => moves!.requests[0]!.finish())
    world.run(9000)
    assert.deepStrictEqual(world.journal.slice(3), [
      "3000 still/1 is timed out",
      "3000 begun/1 is timed out",
      "3000 begun is closed",
      "7000 moves/1 answers 200, close"
    ])
    assert.deepStrictEqual([...world.fates.open], [unread])
    assert.deepStrictEqual([world.fates.finished, world.fates.cutOff], [1, 2])
    assert.strictEqual(still!.closed, true)
  })

  it("a WebSocket is told at once; one that has not ended at its bound is cut, and its connection closed", () => {
    const world = new World()
    const [polite, rude] = ["polite", "rude"].map((name) => {
      const client = world.connect(name)
      client.request({ upgrade: true })
      return client
    })
    world.at(1000, () => world.fates.drain())
    world.at(1010, () => polite!.leave())
    world.run(9000)
    assert.deepStrictEqual(world.journal, [
      "1000 polite/1 says 1001",
      "1000 rude/1 says 1001",
      "6000 rude/1 is interrupted",
      "6200 rude is ended"
    ])
    assert.deepStrictEqual([world.fates.finished, world.fates.cutOff], [1, 1])
    assert.strictEqual(rude!.closed, true)
  })

  it("an event stream has its own bound, also one that begins during the drain", () => {
    const world = new World()
    const before = world.connect("before")
    const during = world.connect("during")
    before.request()!.stream()
    world.at(1000, () => world.fates.drain())
    world.at(1100, () => during.request()!.stream())
    world.run(9000)
    assert.deepStrictEqual(world.journal, [
      "1100 during/1 says close",
      "6000 before/1 is interrupted",
      "6100 during/1 is interrupted",
      "6200 before is closed"
    ])
  })

  it("at the bound handlers are interrupted, and every connection is closed, whatever they do", () => {
    const world = new World()
    world.connect("slow").request()
    const deaf = world.connect("deaf")
    deaf.request({ deaf: true })
    world.at(1000, () => world.fates.drain())
    world.run(11_000)
    world.bound()
    world.run(20_000)
    assert.deepStrictEqual(world.journal.slice(2), [
      "11000 bound",
      "11000 slow/1 is interrupted",
      "11000 deaf/1 is interrupted",
      "11000 slow/1 answers 503, close",
      "11010 deaf/1 is interrupted",
      "11010 deaf is closed"
    ])
    assert.deepStrictEqual([world.fates.sockets, world.fates.handling, world.fates.inFlight], [0, 1, 1])
  })
})
