import { assert, describe, it } from "@effect/vitest"
import {
  Context,
  DefaultServices,
  Effect,
  Exit,
  FiberRef,
  FiberRefs,
  HashMap,
  Logger,
  Schedule,
  TestClock,
  Tracer
} from "effect"
import { makeWorld, valueOf } from "./consumerWorld.js"

const ref = FiberRef.unsafeMake("initial")

/** How many fibers the refs of the current one came through, at most. */
const depth = Effect.map(Effect.getFiberRefs, (refs) => {
  let most = 0
  for (const ref of FiberRefs.fiberRefs(refs)) most = Math.max(most, refs.locals.get(ref)!.length)
  return most
})

describe("The fiber of a record", () => {
  it.scoped("has the refs of the consumer, whatever earlier records have left in theirs", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const seen: Array<string> = []
      yield* start({
        process: (record) =>
          Effect.flatMap(FiberRef.getAndSet(ref, valueOf(record)), (value) => Effect.sync(() => seen.push(value)))
      })
      kafka.append(0, [[null, "a"], [null, "b"], [null, "c"]])
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(seen, ["initial", "initial", "initial"])
    }))

  it.scoped("has the refs of the consumer under any other tracer as well", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const seen: Array<string> = []
      const tracer = Tracer.make(
        Context.get(DefaultServices.liveServices as Context.Context<Tracer.Tracer>, Tracer.Tracer)
      )
      yield* Effect.withTracer(
        start({
          process: (record) =>
            Effect.flatMap(
              Effect.zip(FiberRef.getAndSet(ref, valueOf(record)), Effect.orDie(Effect.currentSpan)),
              ([value, { name }]) => Effect.sync(() => seen.push(`${value} in ${name}`))
            )
        }),
        tracer
      )
      kafka.append(0, [[null, "a"], [null, "b"]])
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(seen, ["initial in group.process", "initial in group.process"])
    }))

  it.scoped("leaves nothing in the refs to what follows from its failure", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const logged: Array<string> = []
      const logger = Logger.make<unknown, void>(({ annotations, logLevel, message }) => {
        if (logLevel._tag === "Error") logged.push(`${String(message)} ${Array.from(HashMap.keys(annotations)).join()}`)
      })
      yield* start({
        retry: Schedule.stop,
        deadLetterTopic: "dead",
        process: () =>
          Effect.zipRight(
            FiberRef.update(FiberRef.currentLogAnnotations, HashMap.set("of the record", true as unknown)),
            Effect.fail("no")
          )
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      kafka.append(0, [[null, "a"]])
      yield* kafka.poll
      yield* settled
      assert.lengthOf(logged, 1)
      assert.notInclude(logged[0], "of the record")
    }))

  it.scoped("is in a span that ends with the record, also when the span is read only afterwards", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const spans: Array<Tracer.AnySpan> = []
      yield* start({
        retry: Schedule.stop,
        deadLetterTopic: "dead",
        process: (record) =>
          Effect.context<never>().pipe(
            Effect.map((context) => spans.push(Context.unsafeGet(context, Tracer.ParentSpan))),
            Effect.zipRight(Effect.sleep("2 seconds")),
            Effect.zipRight(valueOf(record) === "bad" ? Effect.fail("no") : Effect.succeed("yes"))
          )
      })
      kafka.append(0, [[null, "good"], [null, "bad"]])
      yield* kafka.poll
      for (let record = 0; record < 2; record++) {
        yield* settled
        yield* TestClock.adjust("2 seconds")
      }
      yield* settled
      assert.deepStrictEqual(
        spans.map((span) =>
          span._tag === "Span" && span.status._tag === "Ended"
            ? [
              span.attributes.get("messaging.kafka.offset"),
              span.status.startTime,
              span.status.endTime,
              span.status.exit
            ]
            : undefined
        ),
        [
          [0, 0n, 2_000_000_000n, Exit.succeed("yes")],
          [1, 2_000_000_000n, 4_000_000_000n, Exit.fail("no")]
        ]
      )
    }))

  it.scoped("does not come through the fibers of all records before it, also after retries", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const depths: Array<number> = []
      yield* start({
        concurrency: 1,
        retry: Schedule.spaced("1 second"),
        process: (_, { attempt }) =>
          Effect.flatMap(depth, (found) => attempt < 8 ? Effect.fail(depths.push(found)) : Effect.void)
      })
      kafka.append(0, [[null, "a"], [null, "b"], [null, "c"], [null, "d"]])
      yield* kafka.poll
      for (let second = 0; second < 40; second++) {
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      yield* settled
      assert.lengthOf(depths, 28)
      assert.deepStrictEqual(new Set(depths), new Set([depths[0]]))
    }))

  it.scoped("has the services of the layer", () =>
    Effect.gen(function*() {
      class Name extends Context.Tag("Name")<Name, string>() {}
      const { kafka, settled, start } = yield* makeWorld
      const names: Array<string> = []
      yield* start({ process: () => Effect.map(Effect.serviceOption(Name), (name) => names.push(name._tag)) }).pipe(
        Effect.provideService(Name, "ada")
      )
      kafka.append(0, [[null, "a"]])
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(names, ["Some"])
    }))
})
