import effect from "@effect/eslint-plugin"
import tseslint from "typescript-eslint"

const noRun = {
  selector:
    "MemberExpression[object.name='Effect'][property.name=/^run(Promise|PromiseExit|Fork|Sync|SyncExit|Callback)$/]",
  message:
    "No bare Effect.run* in src: a foreign callback runs on a captured Runtime, and its fiber is awaited by its owner."
}
const noTimeout = {
  selector: "MemberExpression[object.name='Effect'][property.name=/^timeout/]",
  message:
    "No Effect.timeout* in core and layers: in a finalizer it reads as a bound and is none. Use bounded from internal/bounded."
}
const noProcess = {
  name: "process",
  message: "process is touched in Host alone: tests put their own Host in its place."
}

export default tseslint.config(
  { ignores: ["**/dist/", "**/node_modules/", "data/", "coverage/", "bench/", "**/.*"] },
  {
    files: ["**/*.{ts,js,mjs}"],
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
    files: ["**/*.ts"],
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
    files: ["src/**/*.ts"],
    rules: {
      "max-lines": ["error", { max: 300 }],
      "no-console": "error",
      "no-restricted-globals": ["error", noProcess],
      "no-restricted-properties": ["error", { object: "globalThis", property: "process", message: noProcess.message }],
      "no-restricted-syntax": ["error", noRun],
      "@typescript-eslint/no-explicit-any": "error"
    }
  },
  {
    files: ["src/{core,layers}/**/*.ts"],
    ignores: ["src/core/internal/bounded.ts"],
    rules: { "no-restricted-syntax": ["error", noRun, noTimeout] }
  },
  {
    files: ["src/core/Host.ts"],
    rules: { "no-restricted-globals": "off", "no-restricted-properties": "off" }
  }
)
