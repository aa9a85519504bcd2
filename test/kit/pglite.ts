import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll } from "vitest"
import { template } from "./pgliteTemplate.js"

const folders: Array<string> = []

const temporary = () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "lastcall-pglite-"))
  folders.push(folder)
  return folder
}

/** A folder that does not exist yet. It is removed after the tests of the file, with what they have put there. */
export const newFolder = (): string => Path.join(temporary(), "data")

/** A folder with an empty database in it, as after a first start. */
export const databaseFolder = async (): Promise<string> => {
  const folder = newFolder()
  Fs.cpSync(await template(), folder, { recursive: true })
  return folder
}

afterAll(() => {
  for (const folder of folders) Fs.rmSync(folder, { recursive: true, force: true })
})
