import { Context, Effect, Layer, Redacted } from "effect"
import { randomUUID } from "node:crypto"
import { JobCarrier } from "../../../../src/layers/jobs/JobCarrier.js"
import * as JobCarrierNats from "../../../../src/layers/jobs/nats/JobCarrierNats.js"
import type { ThrowawayNats } from "../../../kit/natsServer.js"

/** A stream of one test. */
export const newPrefix = () => `test-${randomUUID().slice(0, 8)}`

/** The carrier of one process. It polls once an hour, so only a message wakes it. */
export const carrier = (server: Pick<ThrowawayNats, "url">, options: Omit<JobCarrierNats.Options, "url">) =>
  Effect.map(
    Layer.build(
      JobCarrierNats.layer({
        url: Redacted.make(server.url),
        redeliverAfter: "1 second",
        pollInterval: "1 hour",
        ...options
      })
    ),
    Context.get(JobCarrier)
  )
