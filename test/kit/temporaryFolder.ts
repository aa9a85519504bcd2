import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const folders = new Set<string>()

/** A new, empty folder. It is removed after the tests of the file, with its content. */
export const temporaryFolder = (parent: string = Os.tmpdir()): string => {
  Fs.mkdirSync(parent, { recursive: true })
  const folder = Fs.mkdtempSync(Path.join(parent, "lastcall-test-"))
  folders.add(folder)
  return folder
}

/** Removes every folder that `temporaryFolder` has made. */
export const removeTemporaryFolders = (): void => {
  for (const folder of folders) Fs.rmSync(folder, { recursive: true, force: true })
  folders.clear()
}
