import { Effect, Predicate } from "effect"
import { type Claim, JobSourceError, LeaseLost } from "../../JobSource.js"
import type { Connection } from "./connect.js"

/** What BullMQ says of a job that is not there, has no lock, is not active, or is locked by somebody else. */
const notOurs = [-1, -2, -3, -6]

export const codeOf = (error: unknown): unknown => Predicate.hasProperty(error, "code") ? error.code : undefined

/** Asks the server, on behalf of one queue. */
export interface Asking {
  /**
   * Short, and uninterruptible, because what was sent is done, whoever waits for it. The server has some seconds to
   * answer; while it is away this fails at once.
   */
  readonly ask: <A>(operation: string, call: () => Promise<A>) => Effect.Effect<A, JobSourceError>
  /** The same for what needs the lease: `take` says whether a lock that has only expired is ours again. */
  readonly fenced: (
    claim: Claim,
    operation: string,
    call: () => Promise<unknown>
  ) => Effect.Effect<void, LeaseLost | JobSourceError>
}

export const asking = (
  queue: string,
  connection: Connection,
  take: (claim: Claim) => Promise<boolean>
): Asking => {
  const refused = (operation: string) => (cause: unknown) =>
    new JobSourceError({ operation, queue, cause: connection.explain(cause) })
  const ask: Asking["ask"] = (operation, call) =>
    Effect.uninterruptible(Effect.tryPromise({ try: call, catch: refused(operation) }))

  return {
    ask,
    fenced: (claim, operation, call) =>
      ask(operation, async () => {
        for (let again = false;; again = true) {
          try {
            await call()
            return true
          } catch (error) {
            const code = codeOf(error)
            if (code === -2 && !again && await take(claim)) continue
            if (notOurs.includes(code as number)) return false
            throw error
          }
        }
      }).pipe(
        Effect.filterOrFail((ours) => ours, () => new LeaseLost({ queue, id: claim.id })),
        Effect.asVoid
      )
  }
}
