import { PGlite } from "@electric-sql/pglite"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"
import { temporaryFolder } from "./temporaryFolder.js"

/** The folder of an empty database, made once for this version of PGlite on this machine, which takes seconds. */
export const template = async (): Promise<string> => {
  const entry = createRequire(import.meta.url).resolve("@electric-sql/pglite")
  const { version } = JSON.parse(Fs.readFileSync(Path.join(entry, "../../package.json"), "utf8")) as { version: string }
  const folder = Path.join(Os.tmpdir(), `lastcall-pglite-template-${Os.userInfo().uid}-${version}`)
  if (Fs.existsSync(folder)) return folder
  const draft = Fs.mkdtempSync(`${folder}-draft-`)
  await (await PGlite.create({ dataDir: draft })).close()
  try {
    Fs.renameSync(draft, folder)
  } catch {
    // Another process has made it meanwhile.
    Fs.rmSync(draft, { recursive: true })
  }
  return folder
}

/** A folder that does not exist yet. It is removed after the tests of the file. */
export const newFolder = (): string => Path.join(temporaryFolder(), "data")

/** A folder with an empty database in it, as after a first start. */
export const databaseFolder = async (): Promise<string> => {
  const folder = newFolder()
  Fs.cpSync(await template(), folder, { recursive: true })
  return folder
}
