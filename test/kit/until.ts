import { Effect, Inspectable, TestServices } from "effect"

const holdsItself = (value: unknown) => value === true

/**
 * Completes with the state once it is as wanted. Every other fiber runs meanwhile, and virtual time stands still. Dies when
 * the state is not reached by then: with time that stands still, it never would be.
 */
export const until = <A, E, R>(
  what: string,
  state: Effect.Effect<A, E, R>,
  isWanted: (state: A) => boolean = holdsItself
): Effect.Effect<A, E, R> =>
  Effect.zipRight(Effect.yieldNow(), state).pipe(
    Effect.repeat({ until: isWanted, times: 10_000 }),
    Effect.filterOrDie(isWanted, (last) =>
      new Error(`not reached: ${what}; at last it was ${Inspectable.toStringUnknown(last)}`))
  )

/**
 * The same for the state of another process, such as a row of a database, which sends no event when it changes: looks every
 * 10 ms of real time, for a minute by default.
 */
export const eventually = <A, E, R>(
  what: string,
  state: Effect.Effect<A, E, R>,
  isWanted: (state: A) => boolean = holdsItself,
  millis = 60_000
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const end = performance.now() + millis
    const look: Effect.Effect<A, E, R> = Effect.flatMap(state, (value) => {
      if (isWanted(value)) return Effect.succeed(value)
      if (performance.now() < end) return Effect.zipRight(TestServices.provideLive(Effect.sleep("10 millis")), look)
      return Effect.dieMessage(
        `not reached in ${millis} ms: ${what}; at last it was ${Inspectable.toStringUnknown(value)}`
      )
    })
    return look
  })

/** `eventually` for tests without Effect: the first value that is not undefined. */
export const poll = <A>(what: string, look: () => Promise<A | undefined>, millis?: number): Promise<A> =>
  Effect.runPromise(
    eventually(what, Effect.tryPromise({ try: look, catch: (error) => error }), (value) => value !== undefined, millis)
  ) as Promise<A>
