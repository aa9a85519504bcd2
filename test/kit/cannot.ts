import { describe, it } from "vitest"

/** Reports that a suite cannot run on this machine. In CI, which must have everything, that is a failure. */
export const cannot = (name: string, reason: string): void => {
  const sentence = `${name}: NOT TESTED, ${reason}`
  describe(name, () => {
    // The sentence is printed at the end of the run.
    if (process.env["CI"] === undefined) return it.skip(sentence, () => undefined)
    it("has what it needs", () => {
      throw new Error(sentence)
    })
  })
}
