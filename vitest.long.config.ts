import { configDefaults, defineConfig } from "vitest/config"
import short from "./vitest.config.js"

const { projects: _, ...common } = short.test!

// The tests that have a long form (they read LASTCALL_LONG), and those without a short one.
export default defineConfig({
  ...short,
  test: {
    ...common,
    include: [
      "test/**/*.long.test.ts",
      "test/edge/{crash,keptConnections,start}.test.ts",
      "test/laws/laws.test.ts",
      "test/layers/database/DatabaseInterruption.test.ts",
      "test/core/Drain.test.ts",
      "test/layers/http/HttpServerLeaks.test.ts",
      "test/layers/http/internal/connectionDrainPolicyLaws.test.ts",
      "test/layers/jobs/WorkerPoolInterruption.test.ts",
      "test/layers/jobs/WorkerPoolLaws.test.ts",
      "test/programs/importer/api.test.ts"
    ],
    exclude: configDefaults.exclude,
    env: { LASTCALL_LONG: "1" },
    testTimeout: 600_000,
    hookTimeout: 120_000
  }
})
