// npm runs this after `npm ci` and before it packs. Where the compiler or the sources are not there, nothing can be
// built and nothing needs to be: an install without development dependencies must not fail for want of a compiler.
import { existsSync } from "node:fs"
import { createRequire } from "node:module"

const hasCompiler = () => {
  try {
    createRequire(import.meta.url).resolve("typescript/bin/tsc")
    return true
  } catch {
    return false
  }
}

if (existsSync("src") && hasCompiler()) await import("./build.mjs")
else console.log("lastcall: no compiler or no sources here, dist is left as it is")
