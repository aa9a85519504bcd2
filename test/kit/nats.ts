import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"
import { natsServer, ThrowawayNats } from "./natsServer.js"

/** `describe` over a NATS server of the file's own. */
export const describeNats = (name: string, body: (server: ThrowawayNats) => void): void => {
  const file = natsServer()
  if (file === undefined) return cannot(name, "there is no NATS here: install nats-server")
  describe(name, () => {
    const server = new ThrowawayNats(file)
    beforeAll(() => server.create(), 60_000)
    afterAll(() => server.remove(), 60_000)
    body(server)
  })
}
