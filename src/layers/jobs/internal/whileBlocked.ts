import { Duration, Effect, type Scope } from "effect"
import type { ThreadConnection } from "../../../core/internal/threadConnection.js"

/** What an engine knows a lease by: a `Claim`. */
interface Lease {
  readonly id: string
  readonly token: string
}

/** Renews leases while the event loop of this process is blocked. A process that is frozen or dead renews none. */
export interface WhileBlocked {
  /** Renews the lease of this claim until the returned function is called. */
  readonly hold: (claim: Lease) => () => void
  /** Renews no lease later than this from now. */
  readonly limit: (within: Duration.Duration) => void
}

/** A loop that is blocked for longer is held to be blocked for ever: other processes run its jobs. */
const longest = Duration.minutes(10)

/**
 * The thread asks the main one this often in a lease whether it runs, and else renews. The last renewal was up to a quarter of a lease ago
 * then (`heartbeat`), so the first is due by the middle of the lease, and three more may fail.
 */
const looksInLease = 8

/** Renews the leases of one queue on a thread. `message` and `textOf` are what the thread's protocol encodes. */
export const renewWhileBlocked = (thread: ThreadConnection, options: {
  readonly lease: Duration.Duration
  readonly message: unknown
  readonly textOf: (claim: Lease) => string
}): Effect.Effect<WhileBlocked, never, Scope.Scope> =>
  Effect.map(
    thread.repeat({ message: options.message, every: Duration.times(options.lease, 1 / looksInLease), longest }),
    ({ hold, limit }) => ({ hold: (claim) => hold(options.textOf(claim)), limit })
  )
