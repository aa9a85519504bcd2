// The databases of a round, read from outside of the service: before it starts, and after it has stopped.
import { ConfigProvider, Effect, Layer, Logger, LogLevel } from "effect"
import * as Database from "../../src/layers/database/Database.js"
import { source } from "../fixtures/chaos/engine.js"
import { type Ledger, ledger, migrations, Queues } from "../fixtures/chaos/ledger.js"

const databases = Queues.layer.pipe(
  Layer.provide(source),
  Layer.provideMerge(Database.migrations(migrations)),
  Layer.provideMerge(Database.layerFromEnv)
)

const runOn =
  (env: Record<string, string>) =>
  <A, E>(effect: Effect.Effect<A, E, Layer.Layer.Success<typeof databases>>): Promise<A> =>
    Effect.runPromise(effect.pipe(
      Effect.provide(databases),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
      Logger.withMinimumLogLevel(LogLevel.Warning)
    ))

/** Creates the tables, once for all rounds: that takes longer than the start of a service. */
export const createTables = (env: Record<string, string>): Promise<void> => runOn(env)(Effect.void)

export const readLedger = (env: Record<string, string>): Promise<Ledger> => runOn(env)(ledger)
