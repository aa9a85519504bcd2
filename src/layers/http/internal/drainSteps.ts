import { type Duration, Effect } from "effect"
import type * as Drain from "../../../core/Drain.js"
import { bounded } from "../../../core/internal/bounded.js"
import type { Service } from "../../../core/Shutdown.js"
import type { Connection } from "./connection.js"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import { forEachInBatches, runTimeouts, yieldToEventLoop } from "./timeoutQueue.js"

/**
 * Follows the lame duck of the service. Without one, responses announce the close only after the listener is closed: a client
 * that is asked to close earlier would reconnect to this server.
 */
export const followLameDuck = ({ lameDuck, state }: Service, policy: ConnectionDrainPolicy): Effect.Effect<void> =>
  Effect.map(Effect.zipRight(lameDuck, state), (state) => {
    if (state === "LameDuck") policy.enterLameDuck()
  })

/** The steps between the last connection that is accepted and the first that is closed by force. */
export const drainSteps = (
  policy: ConnectionDrainPolicy
): Required<Pick<Drain.Steps<unknown>, "drain" | "interrupt" | "progress">> => ({
  drain: () => awaitDrained(policy),
  interrupt: () => interruptHandlers(policy),
  progress: () => ({ inFlight: policy.inFlight, finished: policy.finished, handedBack: 0, cut: policy.cut })
})

const awaitCondition = (policy: ConnectionDrainPolicy, condition: () => boolean): Effect.Effect<void> =>
  Effect.async((resume) => {
    const cancel = policy.when(condition, () => resume(Effect.void))
    return Effect.sync(cancel)
  })

/** Runs the timeouts of the policy until every connection is closed and every handler has exited. */
const awaitDrained = (policy: ConnectionDrainPolicy): Effect.Effect<void> =>
  Effect.raceFirst(
    awaitCondition(policy, () => policy.connections.size === 0),
    Effect.all([
      runTimeouts(policy.idleTimeouts),
      runTimeouts(policy.clientTimeouts),
      runTimeouts(policy.bodyTimeouts),
      runTimeouts(policy.streamTimeouts)
    ], { concurrency: "unbounded", discard: true })
  )

/** Interrupts every handler and waits until all have exited. */
const interruptHandlers = (policy: ConnectionDrainPolicy): Effect.Effect<void> =>
  forEachInBatches(
    Effect.sync(() => [...policy.connections].flatMap((connection) => connection.exchanges)),
    (exchange) => policy.cutExchange(exchange)
  ).pipe(
    Effect.zipRight(awaitCondition(policy, () => policy.runningHandlers === 0))
  )

const forEachConnection = (policy: ConnectionDrainPolicy, act: (connection: Connection) => void): Effect.Effect<void> =>
  forEachInBatches(Effect.sync(() => [...policy.connections]), act)

const destroyConnections = (policy: ConnectionDrainPolicy): Effect.Effect<void> =>
  forEachConnection(policy, (connection) => policy.destroyConnection(connection))

/**
 * Closes every connection. Written responses have `flushTimeout` to be sent; then the sockets are destroyed in any case,
 * so that abandoned handlers have nothing left to write to.
 */
export const closeConnections = (policy: ConnectionDrainPolicy, flushTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    policy.resumeAll()
    if (policy.connections.size === 0) return Effect.void
    const flushed = bounded({ within: flushTimeout })(awaitCondition(policy, () => policy.openConnections === 0))
    return Effect.zipRight(forEachConnection(policy, (connection) => policy.closeConnection(connection)), flushed)
  }).pipe(
    Effect.ensuring(destroyConnections(policy)),
    // HTTP/2: the first time lets the last frames leave, and may wait for the client to close its end.
    Effect.zipRight(yieldToEventLoop),
    Effect.zipRight(destroyConnections(policy)),
    Effect.zipRight(awaitCondition(policy, () => policy.openConnections === 0))
  )
