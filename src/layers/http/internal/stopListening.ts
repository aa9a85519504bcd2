import { type Clock, Effect } from "effect"
import * as Net from "node:net"

/** Milliseconds: a turn of the event loop that is shorter had nothing to do. */
const quiet = 0.5

/** Turns without a connection: whoever is so busy that no turn is short has no better moment to wait for. */
const enough = 4

/**
 * Turns: under a flood of connections there is no quiet one. Not a time, which passes too while the process stands still,
 * and that is when connections gather.
 */
const most = 200

/**
 * Refuses new connections and cuts nobody. `http.Server.close` would close idle connections under requests that are
 * already on their way, and stop enforcing the timeouts for heads; this is what it inherits, on every Node.
 *
 * The kernel resets what it has accepted in our name and Node has not taken yet, one connection a turn on Node 20. So it
 * waits for a turn that brought none. `stopped` is called in the very moment.
 */
export const stopListening = (server: Net.Server, stopped: () => void = () => {}): Effect.Effect<void> =>
  Effect.clockWith((clock) => untilQuiet(server, stopped, clock))

const untilQuiet = (server: Net.Server, stopped: () => void, clock: Clock.Clock): Effect.Effect<void> =>
  Effect.async((resume) => {
    const begunAt = clock.unsafeCurrentTimeNanos()
    const millis = () => Number(clock.unsafeCurrentTimeNanos() - begunAt) / 1e6
    let came = 0
    let turns = 0
    let without = 0
    let last = 0
    let next: NodeJS.Immediate
    const count = () => {
      came++
    }
    const close = () => {
      server.off("connection", count)
      if (server.listening) Net.Server.prototype.close.call(server)
      stopped()
      resume(Effect.void)
    }
    const turn = () => {
      const now = millis()
      without = came === 0 ? without + 1 : 0
      const isQuiet = without > 0 && (now - last < quiet || without > enough)
      if (!server.listening || (turns > 0 && isQuiet) || turns > most) return close()
      came = 0
      turns++
      last = now
      next = setImmediate(turn)
    }
    if (!server.listening) return close()
    server.on("connection", count)
    next = setImmediate(turn)
    return Effect.sync(() => {
      clearImmediate(next)
      close()
    })
  })
