import { Effect, Predicate } from "effect"
import { KafkaError } from "../contract.js"

/** Errors of the protocol by which a coordinator refuses a member that it does not have any more. */
const lost = new Set<unknown>(["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID"])

const reasonOf = (error: unknown): KafkaError["reason"] =>
  Predicate.hasProperty(error, "type")
    ? lost.has(error.type) ? "MembershipLost" : error.type === "REBALANCE_IN_PROGRESS" ? "Rebalancing" : "Unavailable"
    : "Unavailable"

/** Runs an operation of the driver. */
export const attempt = <A>(operation: KafkaError["operation"], run: () => Promise<A>): Effect.Effect<A, KafkaError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new KafkaError({ operation, reason: reasonOf(cause), cause })
  })
