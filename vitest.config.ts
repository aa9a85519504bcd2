import { fileURLToPath } from "node:url"
import { configDefaults, defineConfig } from "vitest/config"
import SlowFirst from "./scripts/slowFirst.mjs"

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const long = "test/**/*.long.test.ts"

/** Each of these holds processes or databases in memory, and gets a process of its own to give them back. */
const holding = [
  "test/edge/*.test.ts",
  "test/programs/importer/*.test.ts",
  "test/layers/database/*.test.ts",
  "test/layers/jobs/{sql,redis,outbox}/*.test.ts"
]

export default defineConfig({
  // "lastcall" and its subpaths are the sources, by the exports of package.json.
  ssr: { resolve: { conditions: ["@lastcall/source", "node"] } },
  test: {
    globalSetup: at("./test/kit/prepare.ts"),
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Many tests wait for other processes: more workers than cores, but few enough for databases in memory.
    maxWorkers: 3,
    minWorkers: 1,
    sequence: { sequencer: SlowFirst },
    // A stray `.only` would skip every other test in silence.
    allowOnly: false,
    // What a test that passes logs is of no interest.
    silent: "passed-only",
    reporters: ["default", at("./scripts/lastLines.mjs")],
    projects: [
      { extends: true, test: { name: "holding", include: holding, exclude: [...configDefaults.exclude, long] } },
      {
        extends: true,
        test: {
          name: "light",
          include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
          exclude: [...configDefaults.exclude, long, ...holding],
          // No module keeps state, so files share what is loaded: to load it again takes longer than most of them.
          isolate: false
        }
      }
    ]
  }
})
