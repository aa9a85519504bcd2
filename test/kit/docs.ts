import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { temporaryFolder } from "./temporaryFolder.js"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/** A fenced block of a page. `name` is what follows the language, as in ` ```ts app.ts `. */
export interface Block {
  readonly language: string
  readonly name: string | undefined
  readonly code: string
}

/** The pages whose blocks are run. */
export const pages: ReadonlyArray<string> = [
  "README.md",
  "ARCHITECTURE.md",
  ...Fs.readdirSync(Path.join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)
]

export const blocksOf = (page: string): ReadonlyArray<Block> =>
  Array.from(
    Fs.readFileSync(Path.join(root, page), "utf8").matchAll(/^```(\w*)(?: +(\S+))?\n([\s\S]*?)^```/gm),
    ([, language, name, code]) => ({ language: language!, name, code: code! })
  )

/** A side of a block that shows a change of a whole file: its lines without those that begin with `other`. */
const sideOf = (code: string, other: "+" | "-"): string =>
  code.split("\n").filter((line) => !line.startsWith(other)).map((line) => line.slice(1)).join("\n")

/**
 * The TypeScript of a page by file name. A block without a name is a program of its own. A block ` ```diff main.ts ` is two: the
 * file after the change, and `before-main.ts`.
 */
export const modulesOf = (page: string): ReadonlyArray<readonly [file: string, code: string]> =>
  blocksOf(page).flatMap(({ code, language, name }, index): ReadonlyArray<readonly [string, string]> => {
    if (language === "ts") return [[name ?? `block-${index + 1}.ts`, code]]
    if (language !== "diff" || name?.endsWith(".ts") !== true) return []
    return [[`before-${name}`, sideOf(code, "+")], [name, sideOf(code, "-")]]
  })

/** A new folder in which `lastcall` is this package, with its sources. It is removed after the tests of the file. */
export const readerFolder = (): string => temporaryFolder(Path.join(root, "test/.docs"))

/**
 * Writes the modules of a page to a new folder. A server listens on a free port there instead of 3000, which may be in use on
 * the machine of a test.
 */
export const writeModules = (page: string, folder = readerFolder()): string => {
  Fs.mkdirSync(folder, { recursive: true })
  for (const [file, code] of modulesOf(page)) {
    Fs.writeFileSync(Path.join(folder, file), code.replaceAll("port: 3000", "port: 0"))
  }
  return folder
}
