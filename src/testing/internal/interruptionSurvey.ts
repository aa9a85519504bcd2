import { Effect, Random } from "effect"
import { type Outcome, type Plan, run } from "./interruptionRun.js"

/** The operations after a resumption that are points only when exploring strictly; see `Interruption.explore`. */
const settling = 16

interface Extent {
  readonly sample?: number
  readonly seed?: number | string
  readonly maxOperations?: number
  readonly strict?: boolean
}

/**
 * Runs the program once undisturbed, to count its points, and then once for each point that is to be explored.
 *
 * @internal
 */
export const survey = <S, ES, R>(
  plan: Plan<S, ES, R>,
  { maxOperations = 10_000, sample, seed = 0, strict = true }: Extent
) =>
  Effect.gen(function*() {
    const env = yield* Effect.runtime<R>()
    const runAt = (at: number) => run(plan, env, { at, maxOperations, settling: strict ? 0 : settling })
    const calm = yield* runAt(0)
    const points = yield* choose(calm.points, sample).pipe(Effect.withRandom(Random.make(seed)))
    const outcomes = yield* Effect.forEach(points, (at) => Effect.map(runAt(at), (outcome) => ({ at, outcome })))
    const found = (tag: Outcome["verdict"]["_tag"]) =>
      [{ at: 0, outcome: calm }, ...outcomes].flatMap(({ at, outcome: { running, verdict } }) =>
        verdict._tag === tag && verdict._tag !== "Safe" ? [{ at, running, reason: verdict.reason }] : []
      )
    return {
      operations: calm.points,
      explored: points.length,
      end: calm.end,
      broken: found("Broken"),
      hung: found("Hung")
    }
  })

/** The first, the last, and one from each of as many equal stretches between them as are asked for. */
const choose = (count: number, sample = count): Effect.Effect<ReadonlyArray<number>> => {
  if (count <= 2 || sample >= count) return Effect.succeed(Array.from({ length: count }, (_, index) => index + 1))
  const between = Math.max(0, sample - 2)
  const edge = (index: number) => 2 + Math.floor((index * (count - 2)) / between)
  const stretches = Array.from({ length: between }, (_, index) => [edge(index), edge(index + 1)] as const)
  return Effect.map(
    Effect.forEach(stretches, ([from, to]) => Random.nextIntBetween(from, to)),
    (inner) => [1, ...inner, count]
  )
}
