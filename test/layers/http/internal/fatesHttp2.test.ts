import { assert, describe, it } from "@effect/vitest"
import { Client, Request, World } from "./world.js"

class Stream extends Request {
  override sayClose(): void {}
}

/** A session of HTTP/2: many requests at a time, and it is for its client to close it once it was ended. */
class Session extends Client {
  override readonly multiplexed = true
  override get halfSent(): boolean {
    return this.ended
  }
  override request(): Request | undefined {
    if (this.ended || this.closed) return undefined
    const request = new Stream(this, `${this.name}/${this.requests.length + 1}`, {})
    this.world.fates.request(request)
    this.requests.push(request)
    this.world.fates.handle(request)
    return request
  }
  override end(): void {
    this.world.note(`${this.name} is ended`)
    this.ended = true
  }
}

const connect = (world: World, name: string): Session => {
  const session = new Session(world, name)
  world.clients.push(session)
  world.fates.accepted(session)
  return session
}

describe("the fates of sessions of HTTP/2", () => {
  it("all are ended after their linger, busy or not; what is open finishes", () => {
    const world = new World()
    const idle = connect(world, "idle")
    const busy = connect(world, "busy")
    const [first, second] = [busy.request()!, busy.request()!]
    world.at(1000, () => world.fates.drain())
    world.at(1100, () => busy.request()!.finish())
    world.at(1500, () => idle.leave())
    world.at(5000, () => second.finish())
    world.at(9000, () => first.finish())
    world.at(9010, () => busy.leave())
    world.run(60_000)
    assert.deepStrictEqual(world.journal, [
      "1100 busy/3 answers 200",
      "1200 idle is ended",
      "1200 busy is ended",
      "5000 busy/2 answers 200",
      "9000 busy/1 answers 200"
    ])
    assert.strictEqual(world.fates.open.size, 0)
  })

  it("one that its client does not close is closed after the time of what is owed, counted from its last answer", () => {
    const world = new World()
    connect(world, "idle")
    const busy = connect(world, "busy")
    const request = busy.request()!
    world.at(1000, () => world.fates.drain())
    // Not long before the time is over that an idle one has.
    world.at(3100, () => request.finish())
    world.run(60_000)
    assert.deepStrictEqual(world.journal, [
      "1200 idle is ended",
      "1200 busy is ended",
      "3100 busy/1 answers 200",
      "3200 idle is timed out",
      "5100 busy is timed out"
    ])
  })

  it("one that was ended in the lame duck is not ended again", () => {
    const world = new World()
    const told = connect(world, "told")
    const open = connect(world, "open")
    const request = open.request()!
    world.at(1000, () => world.fates.tell())
    world.at(1500, () => [told, open].forEach((session) => session.end()))
    world.at(2000, () => world.fates.drain())
    world.at(3900, () => request.finish())
    world.run(60_000)
    assert.deepStrictEqual(world.journal, [
      "1500 told is ended",
      "1500 open is ended",
      "3900 open/1 answers 200",
      "4000 told is timed out",
      "5900 open is timed out"
    ])
  })

  it("one that comes in the drain has its linger", () => {
    const world = new World()
    world.fates.drain()
    world.at(1000, () => connect(world, "late"))
    world.run(60_000)
    assert.deepStrictEqual(world.journal, ["1200 late is ended", "3200 late is timed out"])
  })
})
