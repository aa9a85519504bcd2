// @effect/sql-pg 0.53: a server that accepts connections and never answers holds up a start for ever, whatever `connectTimeout` and
// interruptions ask for: the first statement is in the uninterruptible acquire of an acquireRelease.
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Option } from "effect"
import * as Net from "node:net"

const server = Net.createServer(() => {}).listen(0, "127.0.0.1")
await new Promise((resolve) => server.once("listening", resolve))

const start = PgClient.make({ host: "127.0.0.1", port: server.address().port, username: "me" }).pipe(
  Effect.scoped,
  Effect.provide(Reactivity.layer),
  Effect.exit,
  Effect.timed,
  Effect.disconnect,
  Effect.timeoutOption("8 seconds")
)

const ended = await Effect.runPromise(start)
const actual = Option.match(ended, {
  onNone: () => "has not ended after 8 seconds",
  onSome: ([took]) => `fails after ${Duration.toSeconds(took).toFixed(0)} seconds`
})
console.log("expected: the start fails after 5 seconds")
console.log(`actual:   the start ${actual}`)
process.exit(Option.isSome(ended) ? 0 : 1)
