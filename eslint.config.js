import effect from "@effect/eslint-plugin"
import tseslint from "typescript-eslint"

const run = {
  selector:
    "MemberExpression[object.name='Effect'][property.name=/^run(Promise|PromiseExit|Fork|Sync|SyncExit|Callback)$/]",
  message:
    "No bare Effect.run* in src: a foreign callback runs on a captured Runtime, and its fiber is awaited by its owner."
}
const timeout = {
  selector: "MemberExpression[object.name=/^(Effect|Stream)$/][property.name=/^timeout/]",
  message: "No Effect.timeout*: in a finalizer it reads as a bound and is none. Use bounded from internal/bounded."
}
const report = {
  selector: "NewExpression[callee.name='DrainReport']",
  message: "drainReport makes the reports of resources, and outsideDrains those of work outside of any Drain."
}
const transition = {
  selector: "CallExpression[callee.property.name='transition']",
  message: "runService alone moves the lifecycle: one state machine knows whether the service is draining."
}
const clock = {
  selector:
    ":matches(MemberExpression[object.name='Date'][property.name='now'], NewExpression[callee.name='Date'][arguments.length=0], CallExpression[callee.name='Date'])",
  message: "Time is Effect's Clock: tests move it."
}
const timers = ["setTimeout", "setInterval", "performance"].map((name) => ({ name, message: clock.message }))
const timerModules = ["timers", "timers/promises", "perf_hooks"].flatMap((name) => [name, `node:${name}`])
  .map((name) => ({ name, message: clock.message }))
const noProcess = {
  name: "process",
  message: "process is touched in Host alone: tests put their own Host in its place."
}
const globals = (...restricted) => ({
  "no-restricted-globals": ["error", ...restricted],
  "no-restricted-properties": [
    "error",
    ...restricted.map(({ message, name }) => ({ object: "globalThis", property: name, message }))
  ]
})
const syntax = (...restricted) => ({ "no-restricted-syntax": ["error", ...restricted] })

export default tseslint.config(
  {
    ignores: [
      "**/dist/",
      "**/node_modules/",
      "bundle/",
      "docs/api/",
      "test/.docs/",
      "data/",
      "coverage/",
      "bench/",
      "create/template/",
      "website/.stage/",
      "website/.cache/"
    ]
  },
  {
    files: ["**/*.{ts,tsx,js,mjs}"],
    plugins: { "@effect": effect, "@typescript-eslint": tseslint.plugin },
    languageOptions: { parser: tseslint.parser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-console": "off",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      eqeqeq: "error",
      "@effect/dprint": ["error", {
        config: {
          indentWidth: 2,
          lineWidth: 120,
          semiColons: "asi",
          quoteStyle: "alwaysDouble",
          trailingCommas: "never",
          operatorPosition: "maintain",
          "arrowFunction.useParentheses": "force"
        }
      }]
    }
  },
  {
    files: ["**/*.{ts,tsx}"],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/array-type": ["error", { default: "generic", readonly: "generic" }],
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-explicit-any": "off",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/no-namespace": "off",
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "always" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }]
    }
  },
  {
    files: ["src/**/*.{ts,tsx}"],
    rules: {
      "max-lines": ["error", { max: 300 }],
      "no-console": "error",
      "no-restricted-imports": ["error", { paths: timerModules }],
      ...globals(noProcess, ...timers),
      ...syntax(run, clock, report, transition),
      "@typescript-eslint/no-explicit-any": "error"
    }
  },
  {
    files: ["src/{core,layers,testing}/**/*.ts", "src/programs/{launch.ts,internal/**}"],
    rules: syntax(run, clock, timeout, report, transition)
  },
  { files: ["src/core/internal/bounded.ts"], rules: syntax(run, clock, report, transition) },
  { files: ["src/core/internal/drainReport.ts"], rules: syntax(run, clock, timeout, transition) },
  { files: ["src/programs/internal/runService.ts"], rules: syntax(run, clock, timeout, report) },
  { files: ["src/programs/internal/outsideDrains.ts"], rules: syntax(run, clock, timeout, transition) },
  { files: ["src/core/Host.ts"], rules: { "no-restricted-globals": "off", "no-restricted-properties": "off" } },
  {
    // It runs in browsers, without Effect.
    files: ["src/programs/importer/page/**"],
    rules: {
      "no-restricted-syntax": "off",
      ...globals(noProcess),
      // Handlers of events may be asynchronous; they show their failures.
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }]
    }
  }
)
