import { Effect, Predicate } from "effect"
import { type Claim, JobSourceError, LeaseLost } from "../../JobSource.js"
import type { Connection } from "./connection.js"

/** BullMQ's codes of a job that is missing, has no lock, is not active, or is locked with another token. */
const missing = -1
const noLock = -2
const notActive = -3
const otherToken = -6
const leaseLost: ReadonlyArray<unknown> = [missing, noLock, notActive, otherToken]

const codeOf = (error: unknown): unknown => Predicate.hasProperty(error, "code") ? error.code : undefined

/** Whether a dead letter was redriven or discarded meanwhile. */
export const isNoDeadLetter = (error: unknown): boolean => codeOf(error) === missing || codeOf(error) === notActive

/** Whether a command was refused because the job is not locked with the token that it named. */
export const isLeaseLost = (error: unknown): boolean => leaseLost.includes(codeOf(error))

/** Sends commands on behalf of one queue. */
export interface RedisCommands {
  /**
   * Uninterruptible, because a command that was sent is executed whether or not its caller waits. The wait is bounded: by the
   * connection's response timeout, and a command fails at once while the server is away.
   */
  readonly send: <A>(operation: string, command: () => Promise<A>) => Effect.Effect<A, JobSourceError>
  /**
   * Runs a command that needs the lease, and returns whether the lease held. Takes an expired lock again first, if no other
   * process has the job.
   */
  readonly fenced: (claim: Claim, command: () => Promise<unknown>) => Promise<boolean>
  /** `send` for such a command. */
  readonly sendFenced: (
    claim: Claim,
    operation: string,
    command: () => Promise<unknown>
  ) => Effect.Effect<void, LeaseLost | JobSourceError>
}

export const makeSend = (queue: string, connection: Connection): RedisCommands["send"] => (operation, command) =>
  Effect.uninterruptible(Effect.tryPromise({
    try: command,
    catch: (error) => new JobSourceError({ operation, queue, cause: connection.explain(error) })
  }))

export const redisCommands = (
  queue: string,
  connection: Connection,
  /** Renews the lock, also one that has expired. */
  renew: (claim: Claim) => Promise<boolean>
): RedisCommands => {
  const send = makeSend(queue, connection)

  const fenced: RedisCommands["fenced"] = async (claim, command) => {
    for (let retried = false;; retried = true) {
      try {
        await command()
        return true
      } catch (error) {
        if (codeOf(error) === noLock && !retried && await renew(claim)) continue
        if (isLeaseLost(error)) return false
        throw error
      }
    }
  }

  return {
    send,
    fenced,
    sendFenced: (claim, operation, command) =>
      send(operation, () => fenced(claim, command)).pipe(
        Effect.filterOrFail((settled) => settled, () => new LeaseLost({ queue, id: claim.id })),
        Effect.asVoid
      )
  }
}
