import { fileURLToPath } from "node:url"
import { configDefaults, defineConfig } from "vitest/config"

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const long = "test/**/*.long.test.ts"

/** Written by the tests that run the code of pages. */
const generated = "test/.docs/**"

/** Tests that start processes of their own and mostly wait for them. */
const processes = [
  "test/edge/*.test.ts",
  "test/programs/*Edge.test.ts",
  "test/layers/http/HttpServerProcess.test.ts"
]

export const shared = {
  // A stray `.only` would skip every other test in silence.
  allowOnly: false,
  testTimeout: 120_000,
  hookTimeout: 60_000,
  setupFiles: [at("./test/kit/equality.ts"), at("./test/kit/afterFile.ts")]
}

export default defineConfig({
  // "lastcall" and its subpaths are the sources, by the exports of package.json.
  ssr: { resolve: { conditions: ["@lastcall/source", "node"] } },
  test: {
    globalSetup: at("./test/kit/prepare.ts"),
    // Modules keep no state, so files share what is loaded: to load it again takes longer than most of them.
    // Workers that come and go crash tinypool 1.1: an idle worker may be terminated twice.
    poolOptions: {
      forks: { isolate: false, minForks: 2, maxForks: 2 },
      threads: { isolate: false, minThreads: 3, maxThreads: 3 }
    },
    // What a test that passes logs is of no interest.
    silent: "passed-only",
    reporters: ["default", at("./scripts/lastLines.mjs")],
    // Two pools run at the same time: while one waits for processes, the other computes.
    projects: [
      {
        extends: true,
        test: {
          ...shared,
          name: "processes",
          pool: "forks",
          include: processes,
          exclude: [...configDefaults.exclude, generated, long]
        }
      },
      {
        extends: true,
        test: {
          ...shared,
          name: "modules",
          pool: "threads",
          include: ["test/**/*.test.ts", "examples/*.test.ts"],
          exclude: [...configDefaults.exclude, generated, long, ...processes]
        }
      }
    ]
  }
})
