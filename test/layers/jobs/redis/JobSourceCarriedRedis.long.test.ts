import { describeRedis, newPrefix } from "../../../kit/redis.js"
import { conformanceOver } from "../sql/JobSourceCarriedWorld.js"
import { describeEngines, describeOwnClients } from "../sql/JobSourceSqlWorld.js"
import { carrier } from "./JobCarrierRedisWorld.js"

describeRedis("Redis", (redis) => {
  const conformance = conformanceOver("Redis", newPrefix, (prefix) => carrier(redis, { prefix }))

  describeEngines("JobSourceSql with Redis as the carrier", conformance)
  describeOwnClients("JobSourceSql with Redis as the carrier", conformance)
})
