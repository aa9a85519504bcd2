import { Context, Effect, Layer, Redacted } from "effect"
import { randomUUID } from "node:crypto"
import { JobCarrier } from "../../../../src/layers/jobs/JobCarrier.js"
import * as JobCarrierRabbit from "../../../../src/layers/jobs/rabbit/JobCarrierRabbit.js"

/** The queues of one test. */
export const newPrefix = () => `test-${randomUUID().slice(0, 8)}`

/** The carrier of one process. It polls once an hour, so only a message wakes it, and a machine that is busy may block it. */
export const carrier = (server: { readonly url: string }, options: Omit<JobCarrierRabbit.Options, "url">) =>
  Effect.map(
    Layer.build(
      JobCarrierRabbit.layer({
        url: Redacted.make(`${server.url}?heartbeat=60`),
        redeliverAfter: "1 second",
        pollInterval: "1 hour",
        ...options
      })
    ),
    Context.get(JobCarrier)
  )
