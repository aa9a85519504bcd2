import { Effect } from "effect"
import { describeRedis, newPrefix } from "../../../kit/redis.js"
import { carriedConformance } from "../sql/JobSourceCarriedWorld.js"
import { type Databases, describeEngines, describeOwnClients } from "../sql/JobSourceSqlWorld.js"
import { carrier } from "./JobCarrierRedisWorld.js"

describeRedis("Redis", (redis) => {
  const conformance = (databases: Databases) =>
    carriedConformance(
      "the ledger with Redis",
      databases,
      Effect.suspend(() => {
        const prefix = newPrefix()
        return Effect.all([carrier(redis, { prefix }), carrier(redis, { prefix })])
      }),
      // Longer than elsewhere: a claim takes three systems, on a machine that is shared.
      "3 seconds"
    )

  describeEngines("JobSourceSql with Redis as the carrier", conformance)
  describeOwnClients("JobSourceSql with Redis as the carrier", conformance)
})
