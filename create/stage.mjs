// Copies examples/template into this package, before it is packed.
import { cpSync, rmSync } from "node:fs"

const template = new URL("template", import.meta.url)
rmSync(template, { recursive: true, force: true })
cpSync(new URL("../examples/template", import.meta.url), template, {
  recursive: true,
  filter: (path) => !/\/(node_modules|dist|data|package-lock\.json)$/.test(path)
})
