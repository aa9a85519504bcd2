import { describeRedis } from "../kit/redis.js"
import { outboxConformance } from "./JobSourceOutboxConformance.js"
import { describeEngines } from "./JobSourceSqlWorld.js"

describeRedis(
  "Redis",
  (redis) => describeEngines("JobSourceOutbox", (databases) => outboxConformance(redis, databases))
)
