import { describe, it } from "vitest"

/** Says loudly that something was not tested; in CI, where everything must be there, it is a failure. */
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
