/** A queue whose `shift` costs the same at any length. */
export class Fifo<A> {
  private items: Array<A> = []
  private head = 0

  get size(): number {
    return this.items.length - this.head
  }
  push(item: A): void {
    this.items.push(item)
  }
  /** Puts items in front of the others. */
  unshift(items: ReadonlyArray<A>): void {
    this.items = [...items, ...this.items.slice(this.head)]
    this.head = 0
  }
  peek(): A | undefined {
    return this.items[this.head]
  }
  shift(): A | undefined {
    const item = this.items[this.head++]
    if (this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return item
  }
  clear(): void {
    this.items = []
    this.head = 0
  }
}
