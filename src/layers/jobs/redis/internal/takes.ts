import type { JobJson, RedisQueueBackend } from "bullmq"
import { Clock, Effect } from "effect"
import type { WakeUp } from "../../internal/wakeUp.js"
import type { JobSourceError } from "../../JobSource.js"

/** What was taken at once. */
export interface Taken<out A> {
  readonly taken: ReadonlyArray<A>
  /** Whether the queue had fewer jobs. */
  readonly isEmpty: boolean
  /** When the next job is due, if BullMQ said so. */
  readonly due: number | undefined
  /** Whether a command failed: what the others took is locked, and must not be lost. */
  readonly failed: boolean
}

/** Takes up to `count` jobs at once, by a command for each, and locks them with these tokens. Fails when a command did, and no other took a job. */
export const takeAtOnce = async <A>(
  backend: RedisQueueBackend,
  count: number,
  makeToken: () => string,
  receive: (id: string, json: JobJson, token: string) => A
): Promise<Taken<A>> => {
  const results = await Promise.allSettled(Array.from({ length: count }, async () => {
    const token = makeToken()
    const [json, id, , due] = await backend.moveToActive(token) as [JobJson | undefined, string, number, number]
    return json ? { taken: [receive(id, json, token)] } : { taken: [], due }
  }))
  const failed = results.find((result) => result.status === "rejected")
  const received = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : [])
  const taken = received.flatMap(({ taken }) => taken)
  if (failed !== undefined && taken.length === 0) throw failed.reason
  return {
    taken,
    isEmpty: taken.length < count,
    due: received.find(({ due }) => due !== undefined)?.due,
    failed: failed !== undefined
  }
}

/** How many jobs are taken at first: the queue may be empty. Two, so that one job is found to be the only one without another look. */
const first = 2
/** How many times as many are taken then. */
const growth = 4

/**
 * Takes up to `limit` jobs, in turns: few at first, because each command is in vain once the queue is empty. After a call that took as many as it was to, all at once. Leaves
 * `wakeUp` notified unless the queue was empty.
 */
export const makeTakes = (wakeUp: WakeUp) => {
  let wasFull = false
  return <A>(
    limit: number,
    take: (count: number, before: ReadonlyArray<A>) => Effect.Effect<Taken<A>, JobSourceError>
  ): Effect.Effect<ReadonlyArray<A>, JobSourceError> =>
    Effect.gen(function*() {
      if (limit < 1) return []
      yield* wakeUp.reset
      const all: Array<A> = []
      let count = wasFull ? limit : first
      wasFull = false
      for (; all.length < limit; count *= growth) {
        const some = yield* Effect.either(take(Math.min(count, limit - all.length), all))
        if (some._tag === "Left") {
          yield* wakeUp.notify
          return all.length > 0 ? all : yield* some.left
        }
        const { due, failed, isEmpty, taken } = some.right
        all.push(...taken)
        if (failed) break
        if (isEmpty) {
          const now = yield* Clock.currentTimeMillis
          yield* wakeUp.setDue(due ? due - now : undefined)
          return all
        }
      }
      wasFull = all.length === limit
      yield* wakeUp.notify
      return all
    }).pipe(Effect.uninterruptible)
}
