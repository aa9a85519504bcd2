import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("../..", import.meta.url))
const day = 24 * 60 * 60 * 1000

const sources = () =>
  Fs.readdirSync(Path.join(root, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => Path.relative(root, Path.join(entry.parentPath, entry.name)))
    .sort()
    .map((path) => [path, Fs.readFileSync(Path.join(root, path), "utf8")] as const)

const compilerOptions = (): ts.CompilerOptions => {
  const path = Path.join(root, "tsconfig.build.json")
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(path, ts.sys.readFile).config, ts.sys, root)
  // A single file does not know of the package.json that makes it a module.
  return { ...options, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }
}

/** Builds of sources that have changed since are of no use to anybody. */
const clearOld = (folder: string) => {
  for (const name of Fs.readdirSync(folder)) {
    const path = Path.join(folder, name)
    if (Fs.statSync(path).mtimeMs < Date.now() - day) Fs.rmSync(path, { recursive: true, force: true })
  }
}

/**
 * The folder with `main.js` as `npm run build` makes it of the sources as they are now. `dist` itself may be older than
 * they are, and nobody would notice. Made once for all test files, and again when a source has changed.
 */
export const build = (): string => {
  const files = sources()
  const options = compilerOptions()
  const hash = createHash("sha256").update(JSON.stringify([ts.version, options, files])).digest("hex").slice(0, 16)
  const cache = Path.join(root, "node_modules/.cache/lastcall")
  const folder = Path.join(cache, hash)
  if (Fs.existsSync(folder)) return Path.join(folder, "dist")
  Fs.mkdirSync(cache, { recursive: true })
  clearOld(cache)
  const draft = Fs.mkdtempSync(Path.join(cache, "draft-"))
  for (const [fileName, text] of files) {
    const out = Path.join(draft, fileName.replace(/^src/, "dist").replace(/\.ts$/, ".js"))
    Fs.mkdirSync(Path.dirname(out), { recursive: true })
    Fs.writeFileSync(out, ts.transpileModule(text, { fileName, compilerOptions: options }).outputText)
  }
  Fs.copyFileSync(Path.join(root, "package.json"), Path.join(draft, "package.json"))
  try {
    Fs.renameSync(draft, folder)
  } catch {
    // Another test file was quicker.
    Fs.rmSync(draft, { recursive: true })
  }
  return Path.join(folder, "dist")
}
