import { Effect, FastCheck as fc, Logger, LogLevel } from "effect"

/** Runs a law, which fails where it does not hold, for random scenarios and without logs. */
export const holdsFor = <A>(
  scenario: fc.Arbitrary<A>,
  law: (scenario: A) => Effect.Effect<void, unknown>,
  options: { readonly numRuns: number }
): Effect.Effect<void> =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(
        scenario,
        (scenario) => law(scenario).pipe(Logger.withMinimumLogLevel(LogLevel.None), Effect.runPromise)
      ),
      options
    )
  )
