// The modules of the page that need no browser.
import { assert, describe, it } from "vitest"
import { declaration } from "../../../src/programs/importer/page/columns.js"
import { bytes, duration, plural } from "../../../src/programs/importer/page/format.js"
import { addSample, rateOf, type Sample, timeLeft } from "../../../src/programs/importer/page/rate.js"

const samples = (...of: ReadonlyArray<readonly [at: number, done: number]>) =>
  of.reduce((before, [at, done]) => addSample(before, { at, done }), [] as ReadonlyArray<Sample>)

describe("the rate of an import", () => {
  it("is that of the last ten seconds, and tells the time that is left", () => {
    const seen = samples([0, 0], [1000, 1000], [2000, 3000])
    assert.strictEqual(rateOf(seen), 1500)
    assert.strictEqual(timeLeft(seen, 6000), 2000)
    assert.strictEqual(rateOf(samples(...Array.from({ length: 31 }, (_, i) => [i * 500, i * i] as const))), 80)
  })

  it("is unknown before it was seen to proceed", () => {
    for (const seen of [samples(), samples([0, 10]), samples([0, 0], [100, 10]), samples([0, 10], [1000, 10])]) {
      assert.deepStrictEqual([rateOf(seen), timeLeft(seen, 100)], [undefined, undefined])
    }
  })

  it("is measured anew after a restart", () => {
    assert.deepStrictEqual(samples([0, 0], [1000, 1000], [9000, 1100]), [{ at: 9000, done: 1100 }])
    assert.deepStrictEqual(samples([0, 0], [1000, 1000], [1500, 0]), [{ at: 1500, done: 0 }])
  })
})

it("columns are declared unless they are strings, or have a name that cannot be declared", () => {
  assert.strictEqual(
    declaration([
      { name: "id", type: "integer", optional: false, declarable: true },
      { name: "day", type: "date", optional: true, declarable: true },
      { name: "text", type: "string", optional: true, declarable: true },
      { name: "a,b", type: "number", optional: false, declarable: false }
    ]),
    "id:integer,day:date?"
  )
})

it("numbers and times are shown as people read them", () => {
  assert.deepStrictEqual([0, 819.6, 3449, 9960, 59_400, 185_000, 7_260_000].map(duration), [
    "0 ms",
    "820 ms",
    "3.4 s",
    "10 s",
    "59 s",
    "3 min 05 s",
    "2 h 01 min"
  ])
  assert.deepStrictEqual([bytes(999), bytes(64_000), bytes(2_560_000)], ["999 B", "64 kB", "2.6 MB"])
  assert.deepStrictEqual([plural(1, "row"), plural(1200, "row")], ["1 row", "1,200 rows"])
})
