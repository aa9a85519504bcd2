import { Effect } from "effect"
import { describeRabbit } from "../../../kit/rabbit.js"
import { carriedConformance } from "../sql/JobSourceCarriedWorld.js"
import { describeEngines } from "../sql/JobSourceSqlWorld.js"
import { carrier, newPrefix } from "./JobCarrierRabbitWorld.js"

describeRabbit(
  "RabbitMQ",
  (server) =>
    describeEngines("JobSourceSql with RabbitMQ as the carrier", (databases) =>
      carriedConformance(
        "the ledger with RabbitMQ",
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
