/** The seed of this run: LASTCALL_SEED, which repeats an earlier one. */
export const seed = Number(process.env["LASTCALL_SEED"] ?? Date.now() % 1_000_000)

/** Pseudo-random numbers from 0 to 1, the same for the same seed. */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

/** Choices that are the same for the same seed. */
export class Choices {
  private readonly next: () => number

  constructor(seed: number) {
    this.next = random(seed)
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  /** A whole number from `least` to `most`. */
  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }
  pick<A>(from: ReadonlyArray<A>): A {
    return from[this.int(0, from.length - 1)]!
  }
  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.int(0, 255)))
  }
}
