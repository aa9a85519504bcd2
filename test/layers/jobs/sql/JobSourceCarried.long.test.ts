import { Effect } from "effect"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { carriedConformance } from "./JobSourceCarriedWorld.js"
import { describeEngines } from "./JobSourceSqlWorld.js"

describeEngines("JobSourceSql with a carrier in memory", (databases) =>
  carriedConformance(
    "the ledger with a carrier",
    databases,
    Effect.sync(() => {
      const carrier = makeMemoryCarrier("1 second")
      return [carrier, carrier]
    }),
    "1 second"
  ))
