import { describe } from "vitest"
import { it } from "../kit/service.js"
import { refused } from "./endings.js"

describe("nonsense in the environment ends a start with 1 and one line that says why:", () => {
  for (
    const [variable, value, why] of [
      ["HOST", "not a host", /HOST: Expected a host name or an address, but received "not a host"/],
      ["HOST", "203.0.113.1", /Cannot listen on 203\.0\.113\.1:0: this machine has no such address/],
      ["PRE_STOP_DELAY", "1m", /leaves no time to drain: preStopDelay 1m \+ 2s kept back/],
      ["JOBS_URL", "amqp://me:secret@there", /JOBS_URL: Expected redis:\/\/user:password@host:port/],
      ["WORKERS", "0", /WORKERS: Expected an integer from 1 to 64, but received "0"/]
    ] as const
  ) {
    it(`${variable}=${value}`, ({ start }) => refused(start({ [variable]: value }), why))
  }
})
