import { readdirSync, readFileSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { assert, it } from "vitest"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const read = (path: string) => readFileSync(resolve(root, path), "utf8")

const blocks = (text: string) => Array.from(text.matchAll(/```ts\n([\s\S]*?)```/g), (match) => match[1]!)

/** The README's blocks are one program, with what a reader knows to import in a test. */
const readme = [
  "import { assert, it } from \"@effect/vitest\"",
  "import { TestApp } from \"lastcall/testing\"",
  ...blocks(read("README.md"))
].join("\n")

/** The examples of one docstring after the other, each a module of its own. */
const docstrings = readdirSync(resolve(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .flatMap((path) =>
    blocks(read(`src/${path}`).replaceAll(/^ \* ?/gm, "")).map((code, index) =>
      [`examples/${path.replaceAll("/", ".")}.${index}.ts`, code] as const
    )
  )

it("what the README and the docstrings show compiles", () => {
  const config = ts.readConfigFile(resolve(root, "tsconfig.json"), (path) => ts.sys.readFile(path))
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
  const sources = new Map(
    [["examples/README.ts", readme] as const, ...docstrings].map(([path, code]) =>
      [resolve(root, path), `${code}\nexport {}\n`] as const
    )
  )
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile, readFile } = host
  host.fileExists = (path) => sources.has(path) || fileExists.call(host, path)
  host.readFile = (path) => sources.get(path) ?? readFile.call(host, path)
  host.getSourceFile = (path, version, ...rest) =>
    sources.has(path)
      ? ts.createSourceFile(path, sources.get(path)!, version)
      : getSourceFile.call(host, path, version, ...rest)
  const program = ts.createProgram([...sources.keys()], { ...options, noEmit: true }, host)
  const wrong = [...sources.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(({ messageText }) =>
      `${relative(root, path)}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`
    )
  })
  assert.isAbove(sources.size, 10)
  assert.deepStrictEqual(wrong, [])
})
