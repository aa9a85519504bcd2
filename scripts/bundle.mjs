// Bundles the reference service into the folder bundle: npm run bundle. `node bundle/main.mjs` needs nothing else, so the
// folder is what an image holds. PGlite reads three files beside its own module: they are copied.
import { build } from "esbuild"

const pglite = "node_modules/@electric-sql/pglite/dist"

await build({
  entryPoints: ["src/main.ts", `${pglite}/pglite.wasm`, `${pglite}/pglite.data`, `${pglite}/initdb.wasm`],
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  outdir: "bundle",
  outExtension: { ".js": ".mjs" },
  entryNames: "[name]",
  loader: { ".wasm": "copy", ".data": "copy" },
  // CommonJS packages in the bundle load Node's modules by `require`, which an ES module does not have.
  banner: { js: "const require = process.getBuiltinModule(\"module\").createRequire(import.meta.url)" },
  logLevel: "warning"
})
