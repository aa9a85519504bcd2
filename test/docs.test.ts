// The code of pages and doc comments: all of it compiles, and the tests that pages show pass. Their programs run in edge/docs.test.ts.
import { readdirSync, readFileSync } from "node:fs"
import { relative, resolve } from "node:path"
import ts from "typescript"
import { assert, describe, it } from "vitest"
import { modulesOf, pages, root, writeModules } from "./kit/docs.js"

/** The examples of doc comments, each a module of its own. */
const docComments = readdirSync(resolve(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .flatMap((path) => {
    const text = readFileSync(resolve(root, "src", path), "utf8").replaceAll(/^ *\* ?/gm, "")
    return Array.from(
      text.matchAll(/```ts\n([\s\S]*?)```/g),
      ([, code], index) => [`${path.replaceAll("/", ".")}.${index}.ts`, code!] as const
    )
  })

const compile = (modules: ReadonlyArray<readonly [path: string, code: string]>): ReadonlyArray<string> => {
  const config = ts.readConfigFile(resolve(root, "tsconfig.json"), (path) => ts.sys.readFile(path))
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
  const sources = new Map(modules.map(([path, code]) => [resolve(root, "examples", path), `${code}\nexport {}\n`]))
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile, readFile } = host
  host.fileExists = (path) => sources.has(path) || fileExists.call(host, path)
  host.readFile = (path) => sources.get(path) ?? readFile.call(host, path)
  host.getSourceFile = (path, version, ...rest) =>
    sources.has(path)
      ? ts.createSourceFile(path, sources.get(path)!, version)
      : getSourceFile.call(host, path, version, ...rest)
  // The folder of a page is in none that exists.
  host.directoryExists = () => true
  const program = ts.createProgram([...sources.keys()], { ...options, noEmit: true }, host)
  return [...sources.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(({ messageText }) =>
      `${relative(root, path)}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`
    )
  })
}

it("the code of all pages and doc comments compiles", () => {
  const ofPages = pages.flatMap((page) => modulesOf(page).map(([file, code]) => [`${page}/${file}`, code] as const))
  assert.isAbove(ofPages.length, 3)
  assert.isAbove(docComments.length, 10)
  assert.deepStrictEqual(compile([...ofPages, ...docComments]), [])
})

it("docs/index.md lists every page of docs once, the sidebar and llms.txt are made of it", () => {
  const listed = Array.from(
    readFileSync(resolve(root, "docs/index.md"), "utf8").matchAll(/^- \[.+?\]\((\w\S*\.md)\): /gm),
    ([, path]) => `docs/${path}`
  )
  assert.sameMembers(listed, pages.filter((page) => page.startsWith("docs/") && page !== "docs/index.md"))
})

for (const page of pages) {
  const tests = modulesOf(page).map(([file]) => file).filter((file) => file.endsWith(".test.ts"))
  if (tests.length === 0) continue
  const folder = writeModules(page)
  describe(page, async () => {
    for (const file of tests) await import(resolve(folder, file))
  })
}
