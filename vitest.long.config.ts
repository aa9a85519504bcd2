import { readdirSync, readFileSync } from "node:fs"
import { defineConfig } from "vitest/config"
import short, { shared } from "./vitest.config.js"

/** The test files with a long form, which import test/kit/long.ts, and those without a short one. */
const include = readdirSync("test", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".test.ts"))
  .map((path) => `test/${path}`)
  .filter((path) => path.endsWith(".long.test.ts") || /from ".*\/kit\/long\.js"/.test(readFileSync(path, "utf8")))

const { projects: _, ...common } = short.test!

export default defineConfig({
  ...short,
  test: {
    ...common,
    ...shared,
    include,
    pool: "forks",
    poolOptions: { forks: { maxForks: 3 } },
    env: { LASTCALL_LONG: "1" },
    testTimeout: 600_000,
    hookTimeout: 120_000
  }
})
