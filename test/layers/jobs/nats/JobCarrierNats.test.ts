import { jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { Effect } from "effect"
import { jobCarrierConformance } from "../../../conformance/jobCarrier.js"
import { describeNats } from "../../../kit/nats.js"
import { carrier, newPrefix } from "./JobCarrierNatsWorld.js"

describeNats("JobCarrierNats", (server) =>
  jobCarrierConformance(
    "NATS",
    Effect.gen(function*() {
      const prefix = newPrefix()
      const client = yield* Effect.acquireRelease(
        Effect.promise(() => connect({ servers: server.url })),
        (client) => Effect.promise(() => client.close())
      )
      return {
        carriers: [yield* carrier(server, { prefix }), yield* carrier(server, { prefix })],
        loseData: () =>
          Effect.promise(async () => {
            await (await jetstreamManager(client)).streams.delete(prefix)
          }),
        add: (queue, payload) =>
          Effect.promise(async () => {
            await client.request(`${prefix}.${queue}.theirs`, JSON.stringify(payload))
            return "theirs"
          })
      }
    }),
    { deliversFirst: false, tellsDeliveriesApart: false }
  ))
