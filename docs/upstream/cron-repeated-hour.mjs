// effect 3.22.4: Cron.next in the hour that a clock repeats when it is set back: skipped, and begun in that hour it goes back in time.
import { Cron } from "effect"

const cron = Cron.unsafeParse("*/15 * * * *", "Europe/Berlin")
// The clock is set back from 03:00 to 02:00 at 01:00 UTC.
const next = (time) => Cron.next(cron, new Date(`2025-10-26T${time}:00Z`)).toISOString().slice(11, 16)

const actual = `01:00 after 00:45 is ${next("00:45")}, 01:15 after 01:00 is ${next("01:00")}`
const expected = "01:00 after 00:45 is 01:00, 01:15 after 01:00 is 01:15"
console.log(`expected: ${expected}`)
console.log(`actual:   ${actual}`)
process.exit(actual === expected ? 0 : 1)
