import { PGlite } from "@electric-sql/pglite"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"

/** An empty database, made once for this version on this machine: that takes some seconds. */
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
    // Somebody else was quicker.
    Fs.rmSync(draft, { recursive: true })
  }
  return folder
}
