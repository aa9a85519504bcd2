import { describe, it } from "vitest"

/** Says loudly that something was not tested; in CI, where everything must be there, it is a failure. */
export const cannot = (name: string, reason: string): void => {
  const sentence = `${name}: NOT TESTED, ${reason}`
  describe(name, () => {
    if (process.env["CI"] === undefined) {
      console.warn(sentence)
      it.skip(sentence, () => undefined)
    } else {
      it("has what it needs", () => {
        throw new Error(sentence)
      })
    }
  })
}
