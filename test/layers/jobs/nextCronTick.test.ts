import { assert, describe, it } from "@effect/vitest"
import { Cron, DateTime, FastCheck } from "effect"
import { nextCronTick } from "../../../src/layers/jobs/internal/nextCronTick.js"

const ticks = (expression: string, zone: string, from: string, count: number): ReadonlyArray<string> => {
  const cron = Cron.unsafeParse(expression, zone)
  const found: Array<string> = []
  let at = Date.parse(from)
  for (let n = 0; n < count; n++) {
    at = nextCronTick(cron, at)
    found.push(new Date(at).toISOString().slice(5, 16))
  }
  return found
}

const zones = [
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
  "Africa/Cairo",
  "Asia/Kolkata"
]
const changes = new Map(zones.map((zone) => {
  const timeZone = DateTime.zoneUnsafeMakeNamed(zone)
  const offset = (at: number) => DateTime.zonedOffset(DateTime.unsafeMakeZoned(at, { timeZone }))
  const hours = Array.from({ length: 366 * 24 }, (_, n) => Date.UTC(2025, 0, 1) + n * 3_600_000)
  return [zone, hours.filter((at) => offset(at) !== offset(at + 3_600_000))] as const
}))

/** A moment at which the clock of the zone is set; in June where it never is. */
const changeOf = (zone: string, which: number): number => changes.get(zone)![which] ?? Date.UTC(2025, 5, 1)

describe("nextCronTick", () => {
  it("runs what runs every quarter of an hour also in the hour that a clock repeats", () => {
    assert.deepStrictEqual(ticks("*/15 * * * *", "Europe/Berlin", "2025-10-26T00:30:00Z", 7), [
      "10-26T00:45",
      "10-26T01:00",
      "10-26T01:15",
      "10-26T01:30",
      "10-26T01:45",
      "10-26T02:00",
      "10-26T02:15"
    ])
  })

  it("runs a time of the day once, also when the clock shows it twice", () => {
    assert.deepStrictEqual(ticks("30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", 2), [
      "10-26T00:30",
      "10-27T01:30"
    ])
  })

  it("runs a time that the clock leaves out when it is set forward, an hour later", () => {
    assert.deepStrictEqual(ticks("30 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 2), [
      "03-30T01:30",
      "03-31T00:30"
    ])
  })

  it("has no tick for a date that does not exist", () => {
    assert.throws(() => nextCronTick(Cron.unsafeParse("0 0 30 2 *", "UTC"), 0))
  })

  it("goes forward, from whatever moment", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...zones),
        FastCheck.constantFrom("0 *", "*/20 1-3", "30 2", "0 0,3", "59 23", "15 1"),
        FastCheck.constantFrom(...[0, 1]),
        FastCheck.integer({ min: -240, max: 240 }),
        (zone, time, which, offset) => {
          const from = changeOf(zone, which) + offset * 60_000
          assert.isAbove(nextCronTick(Cron.unsafeParse(`${time} * * *`, zone), from), from)
        }
      ),
      { numRuns: 300 }
    )
  })

  /** What a schedule means, minute by minute: the definition, without a step that could skip. */
  const firstMatch = (cron: Cron.Cron, from: number): number => {
    let at = Math.floor(from / 60_000) * 60_000 + 60_000
    while (!Cron.match(cron, at)) at += 60_000
    return at
  }

  it("finds, for schedules of every hour, the first minute that matches, in each zone and around each change of its clock", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...zones),
        FastCheck.constantFrom("0", "30", "*/15", "*", "5,35", "59", "45"),
        FastCheck.constantFrom("*", "*", "*/2"),
        FastCheck.nat(1),
        FastCheck.integer({ min: -180, max: 180 }),
        (zone, minutes, days, which, offset) => {
          const cron = Cron.unsafeParse(`${minutes} * ${days} * *`, zone)
          const from = changeOf(zone, which) + offset * 60_000
          assert.strictEqual(
            new Date(nextCronTick(cron, from)).toISOString(),
            new Date(firstMatch(cron, from)).toISOString()
          )
        }
      ),
      { numRuns: 60 }
    )
  })
})
