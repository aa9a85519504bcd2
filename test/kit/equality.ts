// Runs before each test file.
import { Option } from "effect"
import { chai } from "vitest"

/**
 * Chai takes `Option.none()` for equal to any `Option.some`: they have different fields, so it compares what they iterate over, which is opaque. So
 * `assert.deepStrictEqual` compares their tags first.
 */
chai.config.deepEqual = (expected, actual) =>
  chai.util.eql(expected as object, actual as object, {
    comparator: (a: unknown, b: unknown) => Option.isOption(a) && Option.isOption(b) && a._tag !== b._tag ? false : null
  })
