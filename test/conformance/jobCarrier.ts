import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, type Scope } from "effect"
import type { CarrierQueue, Delivery, Service } from "../../src/layers/jobs/JobCarrier.js"
import { eventually } from "../kit/until.js"

/** A new store for one test. */
interface World {
  /** Two carriers over the store, as two processes have them. They poll once an hour, and deliver again after a second. */
  readonly carriers: readonly [Service, Service]
  /** Loses the data of this queue, or of all. */
  readonly loseData: (queue: string) => Effect.Effect<unknown, unknown>
  /** Adds a job as another program does, with the id that it gets. */
  readonly add: (queue: string, payload: unknown) => Effect.Effect<string, unknown>
}

/** What a carrier cannot do. The ledger needs none of it. */
interface Limits {
  /** Deliver ids before those that it holds already: jobs that were handed back wait behind the others. */
  readonly deliversFirst?: false
  /** Tell a delivery from one that was delivered again: the first acknowledgement counts, whichever it is. */
  readonly tellsDeliveriesApart?: false
  /** Look for an id: it delivers one that it holds already once more, and `holds` says whether any id waits. */
  readonly knowsIds?: false
}

const idsOf = (deliveries: ReadonlyArray<Delivery>) => deliveries.map(({ id }) => id)

/** The suite that every implementation of `JobCarrier` passes. */
export const jobCarrierConformance = (
  name: string,
  make: Effect.Effect<World, unknown, Scope.Scope>,
  { deliversFirst, knowsIds, tellsDeliveriesApart }: Limits = {}
) => {
  let opened = 0

  interface Fixture extends World {
    readonly queue: string
    readonly mine: CarrierQueue
    readonly theirs: CarrierQueue
  }

  const test = (sentence: string, body: (fixture: Fixture) => Effect.Effect<unknown, unknown, Scope.Scope>) =>
    it.scopedLive(sentence, () =>
      Effect.gen(function*() {
        const world = yield* make
        const queue = `carrier-${++opened}`
        const mine = yield* world.carriers[0].open({ name: queue })
        const theirs = yield* world.carriers[1].open({ name: queue })
        yield* body({ ...world, queue, mine, theirs })
      }))

  const receiveAll = (queue: CarrierQueue) =>
    Effect.tap(queue.receive(1_000), (deliveries) => queue.ack(deliveries)).pipe(Effect.map(idsOf))
  const comesAgain = (queue: CarrierQueue) =>
    eventually("it is delivered again", queue.receive(9), (deliveries) => deliveries.length > 0)
  const completes = (fiber: Fiber.RuntimeFiber<void, unknown>) =>
    eventually("the wait completes", fiber.poll, Option.isSome)

  describe(`${name} conforms to JobCarrier:`, () => {
    test("ids are delivered in the order of their offers, at most as many as requested", ({ mine, theirs }) =>
      Effect.gen(function*() {
        const strange = ["a:b", "wait", "%3A", "ü \u{1f37a}", "id", ""]
        yield* mine.offer(["a", "b"])
        yield* theirs.offer(strange)
        const deliveries = yield* theirs.receive(1)
        assert.deepStrictEqual(deliveries, [{ id: "a", payload: Option.none(), attempt: 1 }])
        yield* theirs.ack(deliveries)
        assert.deepStrictEqual(yield* receiveAll(mine), ["b", ...strange])
        assert.deepStrictEqual(yield* theirs.receive(9), [])
      }))

    test("a queue of any name has its own ids", ({ carriers: [mine], queue }) =>
      Effect.gen(function*() {
        const names = [".", "/", "%", "%2F", "=2F", " ", "*", ">", "ü"].map((part) => `${queue}${part}a`)
        const queues = yield* Effect.forEach(names, (name) => mine.open({ name }))
        yield* Effect.forEach(queues, (queue, n) => queue.offer([names[n]!]))
        assert.deepStrictEqual(yield* Effect.forEach(queues, receiveAll), names.map((name) => [name]))
      }))

    test(
      deliversFirst === false
        ? "ids that are offered as the first ones are delivered after the others, in their order"
        : "ids that are offered as the first ones are delivered before the others, in their order",
      ({ mine, theirs }) =>
        Effect.gen(function*() {
          yield* mine.offer(["c", "d"])
          yield* mine.offer(["a", "b"], { first: true })
          const order = deliversFirst === false ? ["c", "d", "a", "b"] : ["a", "b", "c", "d"]
          assert.deepStrictEqual(yield* receiveAll(theirs), order)
        })
    )

    if (knowsIds === false) {
      test("an offer of an id that is held has it delivered once more", ({ mine, theirs }) =>
        Effect.gen(function*() {
          yield* mine.offer(["a", "b"])
          yield* theirs.offer(["b"])
          const deliveries = yield* theirs.receive(9)
          assert.deepStrictEqual(idsOf(deliveries), ["a", "b", "b"])
          yield* mine.offer(["a"])
          yield* theirs.ack(deliveries)
          assert.deepStrictEqual(yield* receiveAll(mine), ["a"])
        }))
    } else {test("an offer of an id that is held, or delivered, changes nothing until it is acknowledged", ({ mine, theirs }) =>
        Effect.gen(function*() {
          yield* mine.offer(["a", "b"])
          yield* theirs.offer(["b", "a"], { first: true })
          const deliveries = yield* theirs.receive(9)
          assert.deepStrictEqual(idsOf(deliveries), ["a", "b"])
          yield* mine.offer(["a"])
          assert.deepStrictEqual(yield* mine.receive(9), [])
          yield* theirs.ack(deliveries)
          yield* mine.offer(["a"])
          assert.deepStrictEqual(yield* receiveAll(mine), ["a"])
        }))}

    test("a delivery that is not acknowledged comes again", ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a"])
        yield* mine.receive(1)
        assert.deepStrictEqual(yield* theirs.receive(1), [])
        const again = yield* comesAgain(theirs)
        assert.deepStrictEqual(idsOf(again), ["a"])
        assert.strictEqual(yield* mine.holds("a"), knowsIds !== false)
        yield* theirs.ack(again)
        assert.isFalse(yield* mine.holds("a"))
      }))

    test(
      tellsDeliveriesApart === false
        ? "an acknowledgement counts also after the delivery has come again, and not for a new offer of the id"
        : "only the last delivery of an id can be acknowledged",
      ({ mine, theirs }) =>
        Effect.gen(function*() {
          yield* mine.offer(["a"])
          const lost = yield* mine.receive(1)
          let last = yield* comesAgain(theirs)
          yield* mine.ack(lost)
          if (knowsIds === false) last = yield* comesAgain(theirs)
          else assert.strictEqual(yield* mine.holds("a"), tellsDeliveriesApart !== false)
          yield* theirs.ack(last)
          assert.isFalse(yield* mine.holds("a"))
          yield* mine.offer(["a"])
          yield* mine.ack(lost)
          yield* theirs.ack(last)
          assert.isTrue(yield* mine.holds("a"))
        })
    )

    test("a receive that is interrupted at any point loses no id", ({ mine, theirs }) =>
      Effect.gen(function*() {
        const ids = Array.from({ length: 8 }, (_, n) => String(n))
        yield* mine.offer(ids)
        const received: Array<string> = []
        for (let turns = 0; turns < 8; turns++) {
          const fiber = yield* Effect.fork(theirs.receive(1))
          yield* Effect.repeatN(Effect.yieldNow(), turns)
          const exit = yield* Fiber.interrupt(fiber)
          if (exit._tag === "Success") {
            yield* theirs.ack(exit.value)
            received.push(...idsOf(exit.value))
          }
        }
        const all = yield* eventually(
          "all are received",
          Effect.map(receiveAll(mine), (more) => {
            received.push(...more)
            return new Set(received)
          }),
          ({ size }) => size >= ids.length
        )
        assert.deepStrictEqual([...all].sort(), ids)
      }))

    test("an offer completes the waits of other processes, at whatever moment it happens", ({ mine, theirs }) =>
      Effect.gen(function*() {
        for (let turns = 0; turns < 8; turns++) {
          yield* theirs.receive(9)
          const fiber = yield* Effect.fork(theirs.wait)
          yield* Effect.repeatN(Effect.yieldNow(), turns)
          yield* mine.offer([`${turns}`])
          yield* completes(fiber)
          assert.deepStrictEqual(yield* receiveAll(theirs), [`${turns}`])
        }
      }))

    test("a wait completes when a receive has left some, and can be interrupted", ({ mine }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b"])
        yield* mine.receive(1)
        yield* completes(yield* Effect.fork(mine.wait))
        yield* mine.receive(9)
        yield* Fiber.interrupt(yield* Effect.fork(Effect.uninterruptible(mine.wait)))
      }))

    test("two processes receive every id, and none of them twice", ({ mine, theirs }) =>
      Effect.gen(function*() {
        const ids = Array.from({ length: 100 }, (_, n) => `job ${n}`)
        yield* mine.offer(ids)
        const all = (queue: CarrierQueue) =>
          Effect.iterate({ all: [] as ReadonlyArray<string>, last: 1 }, {
            while: ({ last }) => last > 0,
            body: ({ all }) =>
              Effect.map(
                Effect.tap(queue.receive(7), queue.ack),
                (some) => ({ all: [...all, ...idsOf(some)], last: some.length })
              )
          })
        const received = yield* Effect.all([all(mine), all(theirs)], { concurrency: "unbounded" })
        assert.deepStrictEqual(received.flatMap(({ all }) => all).sort(), [...ids].sort())
      }))

    test("a carrier that has lost its data holds nothing, and takes the ids again", ({ loseData, mine, queue, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b"])
        const deliveries = yield* theirs.receive(1)
        yield* loseData(queue)
        yield* theirs.ack(deliveries)
        assert.deepStrictEqual(yield* Effect.forEach(["a", "b"], mine.holds), [false, false])
        assert.deepStrictEqual(yield* mine.receive(9), [])
        yield* mine.offer(["b", "a"])
        assert.deepStrictEqual(yield* receiveAll(theirs), ["b", "a"])
      }))

    test("a job that another program has added is delivered with its payload", ({ add, mine, queue, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["ours"])
        const id = yield* add(queue, { to: "ada" })
        const deliveries = yield* theirs.receive(9)
        assert.deepStrictEqual(deliveries, [
          { id: "ours", payload: Option.none(), attempt: 1 },
          { id, payload: Option.some({ to: "ada" }), attempt: 1 }
        ])
        yield* theirs.ack(deliveries)
        assert.isFalse(yield* mine.holds(id))
      }))
  })
}
