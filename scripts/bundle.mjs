// Bundles the reference service into the folder bundle: npm run bundle. `node bundle/main.mjs` needs nothing else, so the
// folder is what an image holds. PGlite is copied as it is: it reads files beside its own module, and runs on two threads.
import { build } from "esbuild"
import { cpSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { buildPage } from "./page.mjs"

const pglite = "node_modules/@electric-sql/pglite"

await build({
  entryPoints: ["src/main.ts"],
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  outdir: "bundle",
  outExtension: { ".js": ".mjs" },
  external: ["@electric-sql/pglite"],
  // CommonJS packages in the bundle load Node's modules by `require`, which an ES module does not have.
  banner: { js: "const require = process.getBuiltinModule(\"module\").createRequire(import.meta.url)" },
  logLevel: "warning"
})

await buildPage(fileURLToPath(new URL("../bundle/page", import.meta.url)))

// Without its extensions, types and source maps.
cpSync(pglite, `bundle/${pglite}`, {
  recursive: true,
  filter: (path) => !/\.(map|d\.c?ts|tar\.gz)$|\/(contrib|live|worker)$/.test(path)
})
