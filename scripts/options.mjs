// Writes docs/options.md from the doc comments of the public interfaces of options: npm run options. Reads syntax alone, so it takes
// a second.
import { readFileSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("..", import.meta.url))

const parse = (path) => ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.Latest, true)

/** The public modules by the exports of package.json; a barrel stands for its modules. */
const publicModules = () =>
  Object.values(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports)
    .flatMap(({ "@lastcall/source": source }) => source === undefined || source === "./src/index.ts" ? [] : [source])
    .flatMap((source) =>
      source.endsWith("/index.ts")
        ? Array.from(
          readFileSync(join(root, source), "utf8").matchAll(/from "\.\/(\w+)\.js"/g),
          ([, name]) => join(dirname(source), `${name}.ts`)
        )
        : [source.slice(2)]
    )

const target = (from, specifier) => join(dirname(from), specifier.text.replace(/\.js$/, ".ts"))

/** The interfaces that a module exports, of its own and of its internals. */
const exportedInterfaces = (path) => {
  const file = parse(path)
  const imported = new Map()
  const named = []
  const found = []
  for (const statement of file.statements) {
    if (ts.isImportDeclaration(statement) && statement.moduleSpecifier.text.startsWith(".")) {
      const bindings = statement.importClause?.namedBindings
      if (bindings !== undefined && ts.isNamedImports(bindings)) {
        for (const { name } of bindings.elements) imported.set(name.text, target(path, statement.moduleSpecifier))
      }
    } else if (ts.isExportDeclaration(statement) && statement.exportClause !== undefined) {
      if (!ts.isNamedExports(statement.exportClause)) continue
      for (const { name } of statement.exportClause.elements) {
        named.push([name.text, statement.moduleSpecifier && target(path, statement.moduleSpecifier)])
      }
    } else if (
      ts.isInterfaceDeclaration(statement) && ts.getCombinedModifierFlags(statement) & ts.ModifierFlags.Export
    ) {
      found.push(statement)
    }
  }
  for (const [name, from] of named) {
    const other = from ?? imported.get(name)
    if (other === undefined) continue
    found.push(
      ...parse(other).statements.filter((node) => ts.isInterfaceDeclaration(node) && node.name.text === name)
    )
  }
  return found
}

const isOptions = ({ name }) => /Options$|^(Timeouts|Steps)$/.test(name.text)

const docOf = (node) => {
  const doc = ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc)
  const text = ts.getTextOfJSDocComment(doc?.comment) ?? ""
  return text.replace(/```[^]*?```/g, "").replaceAll(/\s*\n\s*-\s+/g, " · ").replaceAll(/\s+/g, " ").trim()
}

const cell = (text) => text.replaceAll("|", "\\|")

const typeOf = (member) => {
  if (member.type === undefined || ts.isMethodSignature(member)) return "function"
  const text = member.type.getText().replace(/\s*\|\s*undefined$/, "").replaceAll(/\s+/g, " ")
  if (text === "Duration.DurationInput") return "duration"
  return /=>|Effect\.|ConnectionOptions|\{/.test(text)
    ? (text.includes("=>") ? "function" : "object")
    : `\`${cell(text)}\``
}

/** The part of the prose that says the default: the words before "by default", or those after "Default:". */
const defaultOf = (doc) => {
  const sentences = doc.match(/[^.:]*(?:[.:](?!\s|$)[^.:]*)*(?:[.:]|$)\s*/g) ?? []
  for (const [index, sentence] of sentences.entries()) {
    if (/^Default:/.test(sentence)) return sentences[index + 1].split(/, because|, more|;|\.\s*$/)[0].trim()
    const named = /(?:^|those of )(`.+?`|\d+), the default\b/.exec(sentence.trim())
    if (named !== null) return named[1]
    const before = /^(?:The .*?, )?(.+?),? by default\b/.exec(sentence)
    if (before !== null) return before[1].trim()
    const after = /^By default (.*?)[,.:]/i.exec(sentence)
    if (after !== null) return after[1].trim()
  }
  return "none"
}

const row = (member) => {
  const name = member.name.getText()
  const doc = docOf(member)
  const value = member.questionToken === undefined ? "required" : defaultOf(doc)
  return `| \`${name}\` | ${typeOf(member)} | ${cell(value)} | ${cell(doc)} |`
}

const extended = (node) =>
  (node.heritageClauses ?? []).flatMap(({ types }) => types.map((type) => type.getText().replaceAll(/\s+/g, " ")))

const sectionOf = (module) => {
  const interfaces = exportedInterfaces(module).filter(isOptions)
  const name = basename(module, ".ts")
  // The options of `launch` are those of the configuration that it makes.
  const title = (node) => name === "ShutdownConfig" ? "launch" : `${name}.${node.name.text}`
  return interfaces.map((node) => {
    const members = node.members.filter((member) => member.name !== undefined)
    const also = extended(node)
    return [
      `## ${title(node)}`,
      docOf(node),
      ...(also.length === 0 ? [] : [`And those of ${also.map((type) => `\`${type}\``).join(", ")}.`]),
      ...(members.length === 0
        ? []
        : [["| option | type | default | |", "| --- | --- | --- | --- |", ...members.map(row)].join("\n")])
    ].filter((part) => part !== "").join("\n\n")
  })
}

/** The page as it should be. */
export const page = () =>
  [
    "# Options",
    "Written by `npm run options` from the doc comments; the API reference has types and examples. A *duration* is a `Duration.DurationInput`: " +
    "`\"5 seconds\"`, `Duration.minutes(1)`, or a number of milliseconds; from the environment `5s` or `5 seconds`. An option that makes no " +
    "sense is refused by its name when the layer is built.",
    ...publicModules().sort((a, b) => basename(a).localeCompare(basename(b))).flatMap(sectionOf)
  ].join("\n\n") + "\n"

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(join(root, "docs/options.md"), page())
}
