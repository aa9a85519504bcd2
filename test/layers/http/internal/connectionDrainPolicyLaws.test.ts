import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { long } from "../../../kit/long.js"
import { type SimulatedConnection, type SimulatedExchange, Simulation, timeouts } from "./simulation.js"

const numRuns = long ? 5000 : 1000

const lameDuckAt = 2000
const drainingAt = 3000
const drainTimeoutAt = 13_000

const actions = ["head", "body", "upgrade", "send", "read", "headers", "stream", "disconnect"] as const

/** What happens on a connection: how long after the step before, and to which of its requests. */
const step = FastCheck.record({
  after: FastCheck.constantFrom(0, 1, 50, 190, 250, 1900, 2100, 4000),
  action: FastCheck.oneof(
    FastCheck.constantFrom("request" as const, "finish" as const),
    FastCheck.constantFrom(...actions)
  ),
  index: FastCheck.integer({ min: 0, max: 2 }),
  uninterruptible: FastCheck.integer({ min: 0, max: 9 }).map((n) => n === 0)
})

/** A connection that opens before the drain, or as it begins. */
const history = FastCheck.record({
  openedAt: FastCheck.constantFrom(
    0,
    lameDuckAt - 1,
    lameDuckAt + 100,
    drainingAt - 300,
    drainingAt - 100,
    drainingAt - 1,
    drainingAt
  ),
  steps: FastCheck.array(step, { maxLength: 14 })
})

type History = typeof history extends FastCheck.Arbitrary<infer A> ? A : never

const perform = (connection: SimulatedConnection, { action, index, uninterruptible }: History["steps"][number]) => {
  const request = connection.requests[index]
  switch (action) {
    case "head":
      return connection.receive(5)
    case "request":
      return void connection.request({ uninterruptible })
    case "body":
      return void connection.request({ uninterruptible, body: 20 })
    case "upgrade":
      return void (connection.pendingResponses === 0 && connection.request({ uninterruptible, upgrade: true }))
    case "send":
      return request?.sendBody(10)
    case "read":
      return void (request !== undefined && (request.reading = !request.reading))
    case "headers":
      return request?.sendHead()
    case "stream":
      return request?.becomeStream()
    case "finish":
      return request?.finish()
    case "disconnect":
      return connection.disconnect()
  }
}

/** Runs the histories. `onAction` is called for each action on a connection. */
const simulate = (
  histories: ReadonlyArray<History>,
  onAction: (simulation: Simulation, connection: SimulatedConnection, entry: string) => void = () => {},
  beforeDrainTimeout: (simulation: Simulation) => void = () => {}
): Simulation => {
  const simulation = new Simulation()
  simulation.onRecord = (connection, entry) => connection !== undefined && onAction(simulation, connection, entry)
  histories.forEach(({ openedAt, steps }, index) =>
    simulation.at(openedAt, () => {
      const connection = simulation.connect(`c${index + 1}`)
      let at = openedAt
      for (const step of steps) {
        at += step.after
        if (at < drainTimeoutAt) simulation.at(at, () => perform(connection, step))
      }
    })
  )
  simulation.at(lameDuckAt, () => simulation.policy.enterLameDuck())
  simulation.at(drainingAt, () => simulation.policy.enterDraining())
  simulation.run(drainTimeoutAt)
  beforeDrainTimeout(simulation)
  simulation.timeOutDrain()
  simulation.run(drainTimeoutAt + 10_000)
  return simulation
}

const law = (name: string, check: (histories: ReadonlyArray<History>) => void) =>
  it(name, () => {
    const histories = FastCheck.array(history, { minLength: 1, maxLength: 2 })
    FastCheck.assert(FastCheck.property(histories, check), { numRuns, seed: 7 })
  })

const requestsOf = (simulation: Simulation): ReadonlyArray<SimulatedExchange> =>
  simulation.connections.flatMap((connection) => connection.requests)

const journalOf = (simulation: Simulation) => simulation.journal.join("\n")

const isClose = (entry: string) => / is (closed|destroyed|timed out)$/.test(entry)

describe("ConnectionDrainPolicy, over random histories", () => {
  law(
    "in the end all connections are closed, interruptible handlers have exited, and the counts add up",
    (histories) => {
      const simulation = simulate(histories)
      const { connections, policy } = simulation
      const running = requestsOf(simulation).filter((request) => !request.handlerExited)
      assert.deepStrictEqual(connections.filter((connection) => !connection.closed), [], journalOf(simulation))
      assert.isTrue(running.every((request) => request.uninterruptible))
      assert.deepStrictEqual(
        [policy.openConnections, policy.inFlight, policy.runningHandlers, policy.finished + policy.cut],
        [0, running.length, running.length, requestsOf(simulation).length - running.length]
      )
      assert.deepStrictEqual([...policy.connections].flatMap((connection) => connection.exchanges), running)
    }
  )

  law("before drainTimeout no connection with a pending response is closed, unless its body stalls", (histories) => {
    simulate(histories, (simulation, connection, entry) => {
      if (simulation.now >= drainTimeoutAt || !isClose(entry)) return
      const pending = connection.requests.filter((request) => !request.responseEnded)
      const stalled = pending.every((request) => request.cut && request.bodyState === "Awaited")
      assert.isTrue(stalled, journalOf(simulation))
    })
  })

  law("before drainTimeout only long-lived exchanges are interrupted, exactly at streamTimeout", (histories) => {
    const dueAt = (request: SimulatedExchange) => Math.max(drainingAt, request.longLivedSince) + timeouts.streamTimeout
    simulate(histories, (simulation, _, entry) => {
      const request = requestsOf(simulation).find(({ name }) => entry === `${name} is interrupted`)
      if (request === undefined || simulation.now >= drainTimeoutAt) return
      assert.isTrue(request.longLived && simulation.now === dueAt(request), journalOf(simulation))
    }, (simulation) => {
      const due = requestsOf(simulation).filter((request) =>
        request.longLived && !request.complete && dueAt(request) < drainTimeoutAt
      )
      assert.isTrue(due.every((request) => request.cut), journalOf(simulation))
    })
  })

  law("no connection is closed before the drain or before idleLinger, nor long after it", (histories) => {
    const idleSince = (connection: SimulatedConnection) => Math.max(drainingAt, connection.idleSince)
    simulate(histories, (simulation, connection, entry) => {
      if (!isClose(entry) || simulation.now >= drainTimeoutAt) return
      assert.isAtLeast(simulation.now, drainingAt)
      if (connection.pendingResponses > 0) return
      assert.isAtLeast(simulation.now, idleSince(connection) + timeouts.idleLinger, journalOf(simulation))
    }, (simulation) => {
      const idle = simulation.connections.filter((connection) => connection.idle)
      const longest = timeouts.idleLinger + timeouts.stallTimeout
      const inTime = idle.every((connection) => drainTimeoutAt - idleSince(connection) <= longest)
      assert.isTrue(inTime, journalOf(simulation))
    })
  })

  law("a body times out only after no byte of it has arrived for stallTimeout", (histories) => {
    simulate(histories, (simulation, _, entry) => {
      const request = requestsOf(simulation).find(({ name }) => entry === `${name} is timed out`)
      if (request === undefined) return
      const stalledSince = Math.max(drainingAt, request.bodyProgressAt)
      assert.isAtLeast(simulation.now - stalledSince, timeouts.stallTimeout, journalOf(simulation))
    })
  })

  law("only the last response of a connection announces close, and from lame duck on it does", (histories) => {
    const simulation = simulate(histories)
    for (const { requests } of simulation.connections) {
      const sent = requests.filter((request) =>
        request.responseEndedAt < drainTimeoutAt && !request.cut && !request.isUpgrade
      )
      const announcing = sent.findIndex((request) => request.announcesClose)
      assert.isTrue(announcing === -1 || announcing === sent.length - 1, journalOf(simulation))
      const last = sent.at(-1)
      if (last === undefined || last !== requests.at(-1) || last.headSentAt <= lameDuckAt) continue
      assert.isTrue(last.announcesClose, journalOf(simulation))
    }
  })
})
