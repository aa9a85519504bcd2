import { Effect } from "effect"

interface Entry<out A> {
  readonly subject: A
  readonly snapshot: number
  readonly dueAt: number
}

/**
 * Timeouts, interrupts and closes run in batches of this size. Ten thousand at once would block the event loop, and reset the
 * requests that arrive meanwhile on the connections whose turn comes last.
 */
const batchSize = 50

/**
 * Timeouts of one length: they expire in the order in which they were added, so that nothing is ever searched. The queue
 * has no timer: `runTimeouts` waits and calls `expire`. Times are milliseconds of the Clock.
 */
export class TimeoutQueue<in out A> {
  private entries: Array<Entry<A>> = []
  private head = 0
  /** Called when the queue gets an entry after it was empty. */
  onNonEmpty = (): void => {}

  /** `onTimeout` gets the snapshot given to `add`, by which it sees whether the subject has moved on since. */
  constructor(
    readonly length: number,
    readonly now: () => number,
    private readonly onTimeout: (subject: A, snapshot: number) => void
  ) {}

  add(subject: A, snapshot: number): void {
    this.entries.push({ subject, snapshot, dueAt: this.now() + this.length })
    if (this.entries.length - this.head === 1) this.onNonEmpty()
  }

  /** The time until the next entry is due; undefined when the queue is empty. */
  untilNext(): number | undefined {
    const next = this.entries[this.head]
    return next === undefined ? undefined : next.dueAt - this.now()
  }

  /** Expires at most `limit` of the entries that are due at `time`. */
  expire(limit: number, time: number): void {
    for (let n = 0; n < limit && this.head < this.entries.length; n++) {
      const { dueAt, snapshot, subject } = this.entries[this.head]!
      if (dueAt > time) return
      this.head++
      this.onTimeout(subject, snapshot)
    }
    if (this.head === this.entries.length) {
      this.entries = []
      this.head = 0
    }
  }
}

/** Completes after pending network input was read and due timers have fired. */
export const yieldToEventLoop = Effect.async<void>((resume) => {
  let next = setImmediate(() => {
    next = setImmediate(() => resume(Effect.void))
  })
  return Effect.sync(() => clearImmediate(next))
})

/** Acts on each of the items, in batches. */
export const forEachInBatches = <A>(
  items: Effect.Effect<ReadonlyArray<A>>,
  act: (item: A) => void
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const all = yield* items
    for (let from = 0; from < all.length; from += batchSize) {
      if (from > 0) yield* yieldToEventLoop
      all.slice(from, from + batchSize).forEach(act)
    }
  })

/** Expires entries when they are due, with one timer, and with none while the queue is empty. */
export const runTimeouts = <A>(queue: TimeoutQueue<A>): Effect.Effect<never> =>
  Effect.gen(function*() {
    const nonEmpty = yield* Effect.makeLatch(false)
    queue.onNonEmpty = () => nonEmpty.unsafeOpen()
    while (true) {
      const untilNext = queue.untilNext()
      if (untilNext === undefined) {
        yield* nonEmpty.await
        nonEmpty.unsafeClose()
      } else if (untilNext > 0) {
        yield* Effect.sleep(untilNext)
      } else {
        // Reads pending input first: after a pause of the process, it may show that the client was in time.
        const time = queue.now()
        yield* yieldToEventLoop
        queue.expire(batchSize, time)
      }
    }
  })
