// docs/versions.md and the commands of pages say what package.json and the installed packages say.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "vitest"
import { root } from "./kit/docs.js"

interface Manifest {
  readonly version: string
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

const read = (path: string) => Fs.readFileSync(Path.join(root, path), "utf8")
const manifest = (folder: string) => JSON.parse(read(Path.join(folder, "package.json"))) as Manifest
const installed = (name: string) => manifest(Path.join("node_modules", name))

const peersOf = ({ peerDependencies = {}, peerDependenciesMeta = {} }: Manifest) =>
  Object.keys(peerDependencies).filter((name) => peerDependenciesMeta[name]?.optional !== true)

/** These packages with their required peers, and the peers of those. */
const withPeers = (names: ReadonlyArray<string>, found = new Set<string>()): Set<string> => {
  for (const name of names) {
    if (!found.has(name)) withPeers(peersOf(installed(name)), found.add(name))
  }
  return found
}

/** `name@0.97` for each package: the part of its version that ranges of its peers agree on. */
const line = (name: string) => {
  const [major, minor] = installed(name).version.split(".")
  return `${name}@${major === "0" ? `0.${minor}` : major}`
}

describe("docs/versions.md", () => {
  const text = read("docs/versions.md")
  const lastcall = manifest(".")

  it("lists the peers of the package, with their versions", () => {
    const rows = [...text.matchAll(/^\| `(.+?)` \| `(.+?)` \|/gm)].map(([, name, range]) => [name!, range!])
    assert.deepStrictEqual(Object.fromEntries(rows), lastcall.peerDependencies)
  })

  it("has the command that installs those of the database", () => {
    const names = [
      "effect",
      "@effect/platform",
      "@effect/platform-node",
      "@effect/sql",
      "@effect/sql-pg",
      "@effect/experimental"
    ]
    const command = ["npm install lastcall", ...[...names, "pg", "@electric-sql/pglite"].map(line)].join(" ")
    assert.include(text.split("\n"), command)
  })

  it("and docs/start.md, name what yarn 1 does not install by itself", () => {
    const named = withPeers(peersOf(lastcall))
    for (const name of peersOf(lastcall)) named.delete(name)
    const without = (page: string, ...names: ReadonlyArray<string>) =>
      [...named].filter((name) => !names.includes(name) && !page.includes(line(name)))
    assert.deepStrictEqual(without(read("docs/start.md")), [])
    assert.deepStrictEqual(without(text), [])
  })
})
