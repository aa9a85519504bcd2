#!/usr/bin/env node
// Copies the template into a new or empty folder, and gives it the folder's name: npm create lastcall my-service
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { basename, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const fail = (message) => {
  console.error(message)
  process.exit(1)
}

const args = process.argv.slice(2)
const [target] = args
if (args.length !== 1 || target.startsWith("-")) {
  fail("usage: npm create lastcall <folder>, where \".\" is the current folder, if it is empty")
}
const folder = resolve(target)
const name = basename(folder)
// It names the package, the containers and the objects in Kubernetes, which are DNS labels.
if (!/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
  fail(
    `"${name}" cannot name the service: use lower-case letters, digits and hyphens, at most 63, the first of them a letter, ` +
      "and the last no hyphen"
  )
}
try {
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    fail(`${folder} is not empty: name a new or an empty folder`)
  }
  cpSync(fileURLToPath(new URL("template", import.meta.url)), folder, { recursive: true })
  // npm leaves files of this name out of packages.
  renameSync(join(folder, "gitignore"), join(folder, ".gitignore"))
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    writeFileSync(path, readFileSync(path, "utf8").replaceAll("my-service", name))
  }
} catch (error) {
  fail(`${folder} cannot be written: ${error.message}`)
}

const enter = folder === process.cwd() ? "" : `cd ${target} && `
console.log(`Made ${name} in ${folder}. Next:

  ${enter}npm install-test    # installs, compiles, and tests its shutdown
  npm start           # http://127.0.0.1:3000, Ctrl+C stops it`)
