// The pictures of docs/importer.md.
import * as Path from "node:path"
import type { Page } from "playwright-core"

/**
 * Takes the picture if the environment names a folder for it: `LASTCALL_SCREENSHOTS=docs/importer`. In light, and in dark as `<name>-dark`; once where the
 * browser is dark anyway. `whole` takes also what is scrolled out of sight.
 */
export const screenshot = async (page: Page, name: string, options?: { readonly whole: boolean }): Promise<void> => {
  const folder = process.env["LASTCALL_SCREENSHOTS"]
  if (folder === undefined) return
  const take = (name: string) =>
    page.screenshot({
      path: Path.join(folder, `${name}.png`),
      animations: "disabled",
      fullPage: options?.whole ?? false
    })
  // The header sticks to the top of what is in sight.
  if (options?.whole) await page.evaluate("scrollTo(0, 0)")
  await take(name)
  if (await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")) return
  await page.emulateMedia({ colorScheme: "dark" })
  await take(`${name}-dark`)
  await page.emulateMedia({ colorScheme: null })
}
