import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"
import { hasRabbit, ThrowawayRabbit } from "./rabbitServer.js"

/** `describe` over a RabbitMQ broker of the file's own. It takes about five seconds to start, on a machine that does nothing else. */
export const describeRabbit = (name: string, body: (server: ThrowawayRabbit) => void): void => {
  if (!hasRabbit()) return cannot(name, "there is no RabbitMQ here: install rabbitmq-server")
  describe(name, () => {
    const server = new ThrowawayRabbit()
    beforeAll(() => server.create(), 240_000)
    afterAll(() => server.remove(), 60_000)
    body(server)
  })
}
