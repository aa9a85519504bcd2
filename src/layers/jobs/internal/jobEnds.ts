import { Duration, Effect, type Exit, type Scope } from "effect"
import type { JobEnd, JobQueue, JobSourceError } from "../JobSource.js"
import { separator } from "./cancellations.js"
import { jittered } from "./jittered.js"
import { everyQueue } from "./wakeUp.js"

/** A queue whose jobs are awaited. */
export interface EndsQueue {
  readonly name: string
  /** Those of these jobs that have ended, and how, or whose ends cannot be known. The ends of the others are announced from then on, if the engine can. */
  readonly read: (
    ids: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyMap<string, Exit.Exit<JobEnd, JobSourceError>>, JobSourceError>
}

/**
 * Awaits the ends of jobs for all callers of a process, for engines that announce them: by a look at a job when it begins to be awaited, and when a message
 * has come; and by a look at all at every poll interval, as long as there are any.
 */
export interface JobEnds {
  /** `JobQueue.awaitEnd` of a queue. */
  readonly open: (queue: EndsQueue) => JobQueue["awaitEnd"]
  /** Reads a message of `endedMessageOf`, or `everyQueue`: messages may have been missed. Ignores others. */
  readonly receive: (message: string) => void
}

/** What an engine sends to all processes when a job has ended, which their older versions ignore: no queue has such a name. */
export const endedPrefix = "ended "
export const endedMessageOf = (queue: string, id: string): string => `${endedPrefix}${queue}${separator}${id}`

/** For how long the id of a job that is awaited is kept at least, so that its end is seen after an outage. */
export const leastKept = Duration.minutes(1)

interface Waiter {
  readonly queue: EndsQueue
  readonly id: string
  readonly resume: (end: Exit.Exit<JobEnd, JobSourceError>) => void
}

/** Until the scope closes. */
export const makeJobEnds = (pollInterval: Duration.Duration): Effect.Effect<JobEnds, never, Scope.Scope> =>
  Effect.gen(function*() {
    /** By the message about their job. */
    const waiters = new Map<string, Set<Waiter>>()
    const someWait = yield* Effect.makeLatch(false)
    let asked = new Set<Waiter>()
    const someAsked = yield* Effect.makeLatch(false)

    const ask = (some: Iterable<Waiter>) => {
      for (const waiter of some) asked.add(waiter)
      if (asked.size > 0) someAsked.unsafeOpen()
    }
    const askAll = () => {
      for (const some of waiters.values()) ask(some)
    }

    const lookAt = (queue: EndsQueue, some: ReadonlyArray<Waiter>) =>
      Effect.matchCauseEffect(queue.read(Array.from(new Set(some.map(({ id }) => id)))), {
        onSuccess: (ends) =>
          Effect.sync(() => {
            for (const { id, resume } of some) {
              const end = ends.get(id)
              if (end !== undefined) resume(end)
            }
          }),
        onFailure: (cause) =>
          Effect.logDebug(`${queue.name}: the ends of jobs could not be looked for, trying again`, cause)
      })

    /** What is asked meanwhile is looked at together, after it. */
    const look = Effect.suspend(() => {
      someAsked.unsafeClose()
      const byQueue = new Map<EndsQueue, Array<Waiter>>()
      for (const waiter of asked) {
        const some = byQueue.get(waiter.queue)
        if (some === undefined) byQueue.set(waiter.queue, [waiter])
        else some.push(waiter)
      }
      asked = new Set()
      return Effect.forEach(byQueue, ([queue, some]) => lookAt(queue, some), { discard: true })
    })

    yield* Effect.forkScoped(Effect.interruptible(Effect.forever(Effect.zipRight(someAsked.await, look))))
    yield* Effect.forkScoped(Effect.interruptible(
      someWait.await.pipe(
        Effect.zipRight(jittered(pollInterval)),
        Effect.flatMap(Effect.sleep),
        Effect.zipRight(Effect.sync(askAll)),
        Effect.forever
      )
    ))

    return {
      open: (queue) => (id) =>
        Effect.async<JobEnd, JobSourceError>((resume) => {
          const message = endedMessageOf(queue.name, id)
          const remove = () => {
            const ofJob = waiters.get(message)
            ofJob?.delete(waiter)
            if (ofJob?.size === 0) waiters.delete(message)
            if (waiters.size === 0) someWait.unsafeClose()
          }
          const waiter: Waiter = {
            queue,
            id,
            resume: (end) => {
              remove()
              resume(end)
            }
          }
          const ofJob = waiters.get(message) ?? new Set()
          waiters.set(message, ofJob.add(waiter))
          someWait.unsafeOpen()
          ask([waiter])
          return Effect.sync(remove)
        }),
      receive: (message) => message === everyQueue ? askAll() : ask(waiters.get(message) ?? [])
    }
  })
