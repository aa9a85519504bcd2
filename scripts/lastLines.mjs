// A vitest reporter for the end of a run. It names the tests that did not run. In CI a test that did not run fails the run,
// and the output ends with one line for each failure and a plain "N passed, N failed": a log may be cut to its last lines.
import { relative } from "node:path"
import { stripVTControlCharacters } from "node:util"

/** The first and the last lines of the first error, as one line: the output of a process that failed says why at its end. */
const summary = ([error]) => {
  const lines = stripVTControlCharacters(error === undefined ? "no error" : `${error.message ?? error}`)
    .split("\n").map((line) => line.trim()).filter((line) => line !== "").map((line) => line.slice(0, 300))
  return [...lines.slice(0, 2), ...lines.slice(2).slice(-2)].join(" / ")
}

/** Names the run, where the same tests run more than once. */
const on = process.env.TESTED_ON === undefined ? "" : `${process.env.TESTED_ON}: `

const fail = (where, errors) => console.log(`failed: ${on}${where}: ${summary(errors)}`)

export default class {
  onTestRunEnd(modules, unhandled) {
    const count = (state) => modules.flatMap((module) => [...module.children.allTests(state)])
    const file = (module) => relative(process.cwd(), module.moduleId)
    const name = (test) => `${file(test.module)} > ${test.fullName}`
    const skipped = [...count("skipped"), ...count("pending")]
    if (process.env.CI === undefined) {
      for (const { name } of skipped) if (name.includes("NOT TESTED")) console.warn(name)
      return
    }
    const failed = count("failed")
    const broken = modules.flatMap((module) =>
      [module, ...module.children.allSuites()].filter((part) => part.errors().length > 0)
    )
    const passed = count("passed").length
    for (const part of broken) fail(part.type === "module" ? file(part) : name(part), part.errors())
    for (const test of failed) fail(name(test), test.result().errors)
    for (const test of skipped) fail(name(test), ["it did not run"])
    for (const error of unhandled) fail("outside any test", [error])
    if (passed === 0) fail("the run", ["no test passed: is there any?"])
    if (passed === 0 || skipped.length > 0) process.exitCode = 1
    console.log(`${passed} passed, ${failed.length + skipped.length + broken.length + unhandled.length} failed`)
  }
}
