import { describeNats } from "../../../kit/nats.js"
import { conformanceOver } from "../sql/JobSourceCarriedWorld.js"
import { describeEngines } from "../sql/JobSourceSqlWorld.js"
import { carrier, newPrefix } from "./JobCarrierNatsWorld.js"

describeNats("NATS", (server) =>
  describeEngines(
    "JobSourceSql with NATS as the carrier",
    conformanceOver("NATS", newPrefix, (prefix) => carrier(server, { prefix }), { handsBackFirst: false })
  ))
