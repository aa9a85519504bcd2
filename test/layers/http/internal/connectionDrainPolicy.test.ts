import { assert, describe, it } from "@effect/vitest"
import { SimulatedConnection, SimulatedExchange, Simulation } from "./simulation.js"

describe("ConnectionDrainPolicy, over HTTP/1.1", () => {
  it("idle connections are closed after idleLinger; a request before that gets a response with close", () => {
    const simulation = new Simulation()
    const idle = simulation.connect("idle")
    const used = simulation.connect("used")
    idle.request()!.finish()
    used.request()!.finish()
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(1150, () => used.request())
    simulation.at(1900, () => used.requests[1]!.finish())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, [
      "0 idle/1 responds 200",
      "0 used/1 responds 200",
      "1150 used/2 announces close",
      "1200 idle is destroyed",
      "1900 used/2 responds 200, close"
    ])
    assert.strictEqual(simulation.policy.connections.size, 0)
  })

  it("in lame duck, responses whose head is not sent announce close, and idle connections stay open", () => {
    const simulation = new Simulation()
    const idle = simulation.connect("idle")
    const busy = simulation.connect("busy")
    const headSent = simulation.connect("headSent")
    busy.request()
    headSent.request()!.headSent = true
    simulation.at(1000, () => simulation.policy.enterLameDuck())
    simulation.at(2000, () => headSent.requests[0]!.finish())
    simulation.at(3000, () => simulation.connect("new").request()!.finish())
    simulation.at(4000, () => busy.requests[0]!.finish())
    simulation.run(60_000)
    assert.deepStrictEqual(simulation.journal, [
      "1000 busy/1 announces close",
      "3000 new/1 announces close",
      "3000 new/1 responds 200, close",
      "4000 busy/1 responds 200, close"
    ])
    assert.deepStrictEqual([...simulation.policy.connections], [idle, headSent])
  })

  it("a response whose head is sent is finished, and its connection is closed after idleLinger", () => {
    const simulation = new Simulation()
    const connection = simulation.connect("c")
    connection.request()!.headSent = true
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(3000, () => connection.requests[0]!.finish())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, ["3200 c is destroyed"])
  })

  it("only the last pipelined response announces close, and a request after its head is not accepted", () => {
    const simulation = new Simulation()
    const connection = simulation.connect("c")
    simulation.at(1000, () => connection.request())
    simulation.at(1001, () => connection.request())
    simulation.at(1002, () => simulation.policy.enterDraining())
    simulation.at(1003, () => connection.request())
    simulation.at(1004, () => connection.requests[2]!.headSent = true)
    simulation.at(1005, () => connection.request())
    simulation.at(2000, () => connection.requests.forEach((request) => request.finish()))
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, [
      "1002 c/2 announces close",
      "1003 c/2 retracts close",
      "1003 c/3 announces close",
      "1005 c/4 is not accepted",
      "2000 c/1 responds 200",
      "2000 c/2 responds 200"
    ])
    const { connections, cut, finished } = simulation.policy
    assert.deepStrictEqual([finished, cut, connections.size], [3, 0, 0])
  })

  it("an incomplete head times out, whether it arrives before the drain or during the linger", () => {
    const simulation = new Simulation()
    const before = simulation.connect("before")
    const during = simulation.connect("during")
    const completed = simulation.connect("completed")
    simulation.at(900, () => before.receive(5))
    simulation.at(900, () => completed.receive(5))
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(1100, () => during.receive(5))
    simulation.at(2500, () => completed.request()!.finish())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, [
      "2500 completed/1 announces close",
      "2500 completed/1 responds 200, close",
      "3000 before is timed out",
      "3200 during is timed out"
    ])
  })

  it("a body that stalls times out; one that makes progress, or that the handler does not read, does not", () => {
    const simulation = new Simulation()
    const [stalled, moving, unread, headSent] = ["stalled", "moving", "unread", "headSent"].map((name) => {
      const connection = simulation.connect(name)
      connection.request({ body: 30 })
      return connection
    })
    unread!.requests[0]!.reading = false
    headSent!.requests[0]!.headSent = true
    simulation.at(1000, () => simulation.policy.enterDraining())
    for (const time of [2000, 4000, 6000]) simulation.at(time, () => moving!.requests[0]!.sendBody(10))
    simulation.at(7000, () => moving!.requests[0]!.finish())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal.slice(3), [
      "3000 stalled/1 is timed out",
      "3000 headSent/1 is timed out",
      "3000 headSent is destroyed",
      "7000 moving/1 responds 200, close"
    ])
    assert.deepStrictEqual([...simulation.policy.connections], [unread])
    assert.deepStrictEqual([simulation.policy.finished, simulation.policy.cut], [1, 2])
    assert.strictEqual(stalled!.closed, true)
  })

  it("a WebSocket is asked to close at once; at streamTimeout it is cut, and its connection is closed", () => {
    const simulation = new Simulation()
    const [closing, ignoring] = ["closing", "ignoring"].map((name) => {
      const connection = simulation.connect(name)
      connection.request({ upgrade: true })
      return connection
    })
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(1010, () => closing!.disconnect())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, [
      "1000 closing/1 is asked to close",
      "1000 ignoring/1 is asked to close",
      "6000 ignoring/1 is interrupted",
      "6200 ignoring is closed"
    ])
    assert.deepStrictEqual([simulation.policy.finished, simulation.policy.cut], [1, 1])
    assert.strictEqual(ignoring!.closed, true)
  })

  it("a stream is asked to close at once, and cut at streamTimeout, also one that begins during the drain", () => {
    const simulation = new Simulation()
    const before = simulation.connect("before")
    const during = simulation.connect("during")
    before.request()!.becomeStream()
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(1100, () => during.request()!.becomeStream())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, [
      "1000 before/1 is asked to close",
      "1100 during/1 announces close",
      "1100 during/1 is asked to close",
      "6000 before/1 is interrupted",
      "6100 during/1 is interrupted",
      "6200 before is destroyed"
    ])
  })

  it("a stream whose client reads slowly is not cut at streamTimeout", () => {
    const simulation = new Simulation()
    const connection = simulation.connect("c")
    const request = connection.request()!
    request.becomeStream()
    request.awaitsReader = true
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(8000, () => request.finish())
    simulation.run(9000)
    assert.deepStrictEqual(simulation.journal, ["1000 c/1 is asked to close", "8200 c is destroyed"])
    assert.deepStrictEqual([simulation.policy.finished, simulation.policy.cut], [1, 0])
  })

  it("at drainTimeout handlers are interrupted, and then every connection is closed", () => {
    const simulation = new Simulation()
    simulation.connect("slow").request()
    simulation.connect("ignoring").request({ uninterruptible: true })
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.run(11_000)
    simulation.timeOutDrain()
    simulation.run(20_000)
    assert.deepStrictEqual(simulation.journal.slice(2), [
      "11000 drainTimeout",
      "11000 slow/1 is interrupted",
      "11000 ignoring/1 is interrupted",
      "11000 slow/1 responds 503, close",
      "11010 ignoring/1 is interrupted",
      "11010 ignoring is destroyed"
    ])
    const { inFlight, openConnections, runningHandlers } = simulation.policy
    assert.deepStrictEqual([openConnections, runningHandlers, inFlight], [0, 1, 1])
  })
})

class SimulatedStream extends SimulatedExchange {
  override announceClose(): void {}
  override retractClose(): void {}
}

/** An HTTP/2 connection: it carries concurrent requests, and after `close` it is the client that closes it. */
class SimulatedHttp2Connection extends SimulatedConnection {
  override get multiplexed(): boolean {
    return true
  }
  override get awaitsClient(): boolean {
    return this.closing
  }
  override request(): SimulatedExchange | undefined {
    if (this.closing || this.closed) return undefined
    return this.accept(new SimulatedStream(this, `${this.name}/${this.requests.length + 1}`, {}))
  }
  override close(): void {
    this.simulation.record(`${this.name} sends GOAWAY`)
    this.closing = true
  }
}

const connectHttp2 = (simulation: Simulation, name: string) =>
  simulation.open(new SimulatedHttp2Connection(simulation, name))

describe("ConnectionDrainPolicy, over HTTP/2", () => {
  it("all connections get GOAWAY after idleLinger, also busy ones; open streams finish", () => {
    const simulation = new Simulation()
    const idle = connectHttp2(simulation, "idle")
    const busy = connectHttp2(simulation, "busy")
    const [first, second] = [busy.request()!, busy.request()!]
    simulation.at(1000, () => simulation.policy.enterDraining())
    simulation.at(1100, () => busy.request()!.finish())
    simulation.at(1500, () => idle.disconnect())
    simulation.at(5000, () => second.finish())
    simulation.at(9000, () => first.finish())
    simulation.at(9010, () => busy.disconnect())
    simulation.run(60_000)
    assert.deepStrictEqual(simulation.journal, [
      "1100 busy/3 responds 200",
      "1200 idle sends GOAWAY",
      "1200 busy sends GOAWAY",
      "5000 busy/2 responds 200",
      "9000 busy/1 responds 200"
    ])
    assert.strictEqual(simulation.policy.connections.size, 0)
  })

  it("a connection that its client does not close is closed stallTimeout after its last response", () => {
    const simulation = new Simulation()
    connectHttp2(simulation, "idle")
    const busy = connectHttp2(simulation, "busy")
    const request = busy.request()!
    simulation.at(1000, () => simulation.policy.enterDraining())
    // Shortly before the idle connection times out.
    simulation.at(3100, () => request.finish())
    simulation.run(60_000)
    assert.deepStrictEqual(simulation.journal, [
      "1200 idle sends GOAWAY",
      "1200 busy sends GOAWAY",
      "3100 busy/1 responds 200",
      "3200 idle is timed out",
      "5100 busy is timed out"
    ])
  })

  it("a connection that got GOAWAY in lame duck does not get another one", () => {
    const simulation = new Simulation()
    const idle = connectHttp2(simulation, "idle")
    const busy = connectHttp2(simulation, "busy")
    const request = busy.request()!
    simulation.at(1000, () => simulation.policy.enterLameDuck())
    simulation.at(1500, () => [idle, busy].forEach((connection) => connection.close()))
    simulation.at(2000, () => simulation.policy.enterDraining())
    simulation.at(3900, () => request.finish())
    simulation.run(60_000)
    assert.deepStrictEqual(simulation.journal, [
      "1500 idle sends GOAWAY",
      "1500 busy sends GOAWAY",
      "3900 busy/1 responds 200",
      "4000 idle is timed out",
      "5900 busy is timed out"
    ])
  })

  it("a connection that opens during the drain gets GOAWAY after idleLinger", () => {
    const simulation = new Simulation()
    simulation.policy.enterDraining()
    simulation.at(1000, () => connectHttp2(simulation, "late"))
    simulation.run(60_000)
    assert.deepStrictEqual(simulation.journal, ["1200 late sends GOAWAY", "3200 late is timed out"])
  })
})
