import { Effect } from "effect"
import { describeNats } from "../../../kit/nats.js"
import { carriedConformance } from "../sql/JobSourceCarriedWorld.js"
import { describeEngines } from "../sql/JobSourceSqlWorld.js"
import { carrier, newPrefix } from "./JobCarrierNatsWorld.js"

describeNats(
  "NATS",
  (server) =>
    describeEngines("JobSourceSql with NATS as the carrier", (databases) =>
      carriedConformance(
        "the ledger with NATS",
        databases,
        Effect.suspend(() => {
          const prefix = newPrefix()
          return Effect.all([carrier(server, { prefix }), carrier(server, { prefix })])
        }),
        // Longer than elsewhere: a claim takes three systems, on a machine that is shared.
        "3 seconds",
        { handsBackFirst: false }
      ))
)
