import { describeRedis } from "../../../kit/redis.js"
import { describeEngines } from "../sql/JobSourceSqlWorld.js"
import { outboxConformance } from "./JobSourceOutboxConformance.js"

describeRedis(
  "Redis",
  (redis) => describeEngines("JobSourceOutbox", (databases) => outboxConformance(redis, databases))
)
