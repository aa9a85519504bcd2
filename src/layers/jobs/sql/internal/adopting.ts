import { Array, Duration, Effect, Option } from "effect"
import { errorMessage } from "../../../../core/internal/errorMessage.js"
import { defaultKeepIdFor, isStorableId, storableJson } from "../../internal/storable.js"
import type { Delivery } from "../../JobCarrier.js"
import type { JobSourceError } from "../../JobSource.js"
import type { CarrierStatements } from "./carrierStatements.js"
import type { Run } from "./rows.js"

/** The payload as JSON, or why there is none, as with one that is nested too deeply. */
const encode = (payload: unknown): readonly [payload: string, error: string | null] => {
  try {
    return [storableJson(payload), null]
  } catch (error) {
    return ["null", `the payload cannot be stored: ${errorMessage(error)}`]
  }
}

/**
 * Gives jobs that other programs have added to the carrier a row. One whose payload cannot be stored becomes a dead letter, and
 * costs the others nothing. One whose id cannot be stored is dropped, which is logged as an error.
 */
export const makeAdopt =
  (queue: string, run: Run, { adopt }: CarrierStatements) =>
  (deliveries: ReadonlyArray<Delivery>): Effect.Effect<void, JobSourceError> =>
    Effect.gen(function*() {
      const foreign = deliveries.filter(({ payload }) => Option.isSome(payload))
      const [unstorable, adopted] = Array.partition(foreign, ({ id }) => isStorableId(id))
      for (const { id } of unstorable) {
        yield* Effect.logError(`${queue}: the job ${JSON.stringify(id)} is dropped, PostgreSQL cannot store its id`)
      }
      if (adopted.length === 0) return
      const [payloads, errors] = Array.unzip(adopted.map(({ payload }) => encode(Option.getOrNull(payload))))
      yield* run(
        "claim",
        adopt,
        adopted.map(({ id }) => id),
        payloads,
        adopted.map(({ attempt }) => attempt),
        Duration.toSeconds(defaultKeepIdFor),
        errors
      )
    })
