import { describeRabbit } from "../../../kit/rabbit.js"
import { conformanceOver } from "../sql/JobSourceCarriedWorld.js"
import { describeEngines } from "../sql/JobSourceSqlWorld.js"
import { carrier, newPrefix } from "./JobCarrierRabbitWorld.js"

describeRabbit("RabbitMQ", (server) =>
  describeEngines(
    "JobSourceSql with RabbitMQ as the carrier",
    conformanceOver("RabbitMQ", newPrefix, (prefix) => carrier(server, { prefix }), { handsBackFirst: false })
  ))
