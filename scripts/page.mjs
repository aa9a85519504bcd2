// Builds the importer's page from src/programs/importer/page: node scripts/page.mjs <folder>.
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"

const root = fileURLToPath(new URL("../src/programs/importer/page", import.meta.url))

/** The folder gets index.html, and assets that are named by their content. */
export const buildPage = (folder) =>
  build({
    root,
    configFile: false,
    logLevel: "warn",
    esbuild: { jsx: "automatic", jsxImportSource: "preact" },
    build: {
      outDir: resolve(folder),
      emptyOutDir: true,
      target: "es2022",
      // A data URL would need an exception in the Content-Security-Policy.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false }
    }
  })

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage(process.argv[2])
