interface Wait<out A> {
  readonly subject: A
  readonly mark: number
  readonly at: number
}

/**
 * Deadlines of one length: whoever came first is due first, so that nobody is ever looked for. It has no timer; who
 * keeps the time asks when the next one is due, and says when it is.
 */
export class Waits<in out A> {
  private entries: Array<Wait<A>> = []
  private first = 0
  /** Called when there is something to wait for where there was nothing. */
  onFirst = (): void => {}

  /** `over` is given what was marked when the wait began, and finds out whether it still means anything. */
  constructor(
    private readonly length: number,
    readonly now: () => number,
    private readonly over: (subject: A, mark: number) => void
  ) {}

  add(subject: A, mark: number): void {
    this.entries.push({ subject, mark, at: this.now() + this.length })
    if (this.entries.length - this.first === 1) this.onFirst()
  }

  /** How long until the next one is due. */
  left(): number | undefined {
    const next = this.entries[this.first]
    return next === undefined ? undefined : next.at - this.now()
  }

  /** Ends waits that were due at that time, at most `limit` of them: there may be ten thousand. */
  elapse(limit: number, time: number): void {
    for (let n = 0; n < limit && this.first < this.entries.length; n++) {
      const { at, mark, subject } = this.entries[this.first]!
      if (at > time) return
      this.first++
      this.over(subject, mark)
    }
    if (this.first === this.entries.length) {
      this.entries = []
      this.first = 0
    }
  }
}
