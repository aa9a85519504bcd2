import { template } from "./pglite.js"
import { endRun, startRun } from "./programs.js"

/** Before all tests of a run, and after them. */
export default async () => {
  startRun()
  // Made by the first test that needs it, it would hold up everything else in that test's process.
  await template()
  return endRun
}
