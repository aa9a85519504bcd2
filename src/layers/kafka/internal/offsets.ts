import { Fifo } from "./fifo.js"

/** A fetched record whose offset is not committable yet. */
export interface Tracked {
  readonly offset: bigint
  done: boolean
}

/** An offset that may be committed, and how many records have become committable with it. */
interface Commit {
  readonly offset: bigint
  readonly count: number
}

/**
 * The offsets of one partition. Records may be done in any order; what may be committed is the offset of the first one
 * that is not.
 */
export class Offsets {
  private readonly tracked = new Fifo<Tracked>()
  private end: bigint | undefined
  private position: bigint | undefined
  private committed: bigint | undefined
  private committable = 0
  private done = 0

  /** With `start`, the records below are done, and it is still to be committed. */
  constructor(start?: bigint) {
    this.end = start
    this.position = start
  }

  /** Fetched records from the first that is not done on: what would be delivered again. */
  get size(): number {
    return this.tracked.size
  }
  /** Records that are done, and cannot be committed because an earlier one is not. */
  get doneAbove(): number {
    return this.done
  }
  /** Records whose end could be committed, and is not. */
  get uncommitted(): number {
    return this.committable
  }
  /** The offset of the first record that is not done; undefined before the first record. */
  get current(): bigint | undefined {
    return this.position
  }
  /** Whether a record was fetched before. */
  has(offset: bigint): boolean {
    return this.end !== undefined && offset < this.end
  }

  add(offset: bigint): Tracked {
    const tracked = { offset, done: false }
    this.tracked.push(tracked)
    if (this.position === undefined) {
      this.position = offset
      // What is below is not known to be done: there is nothing to commit yet.
      this.committed = offset
    }
    this.end = offset + 1n
    return tracked
  }

  /** There are no records up to this offset, behind those that were added. */
  skipTo(end: bigint): void {
    if (this.end !== undefined && end > this.end) this.end = end
    this.advance()
  }

  /** Returns how many records have become committable. */
  complete(tracked: Tracked): number {
    tracked.done = true
    this.done++
    return this.advance()
  }

  private advance(): number {
    let count = 0
    for (let first = this.tracked.peek(); first?.done === true; first = this.tracked.peek()) {
      this.tracked.shift()
      this.position = first.offset + 1n
      count++
    }
    if (this.tracked.size === 0 && this.end !== undefined) this.position = this.end
    this.done -= count
    this.committable += count
    return count
  }

  /** What is to be committed now, if anything. */
  pending(): Commit | undefined {
    return this.position === undefined || this.position === this.committed
      ? undefined
      : { offset: this.position, count: this.committable }
  }

  /** What `pending` returned is committed. */
  commit({ count, offset }: Commit): void {
    this.committed = offset
    this.committable -= count
  }
}
