// The pictures of docs/importer.md.
import * as Path from "node:path"
import type { Page } from "playwright-core"

/** Takes the picture if the environment names a folder for it: `LASTCALL_SCREENSHOTS=docs/importer`. In light, and in dark unless the page is dark. */
export const screenshot = async (page: Page, name: string): Promise<void> => {
  const folder = process.env["LASTCALL_SCREENSHOTS"]
  if (folder === undefined) return
  const take = (name: string) => page.screenshot({ path: Path.join(folder, `${name}.png`), animations: "disabled" })
  await take(name)
  await page.emulateMedia({ colorScheme: "dark" })
  await take(`${name}-dark`)
  await page.emulateMedia({ colorScheme: null })
}
