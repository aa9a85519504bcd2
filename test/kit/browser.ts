import axe from "axe-core"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"

const binary = (): string | undefined =>
  (process.env["PATH"] ?? "").split(Path.delimiter)
    .flatMap((folder) => ["chromium", "chromium-browser", "google-chrome"].map((name) => Path.join(folder, name)))
    .find((path) => Fs.existsSync(path))

/** A tab, and what went wrong in it. */
interface Tab {
  readonly page: Page
  /** Addresses of other origins that it asked for, and errors of its scripts and of its Content-Security-Policy. */
  readonly faults: ReadonlyArray<string>
}

export type Open = (url: string, options?: BrowserContextOptions) => Promise<Tab>

/** `describe` for tests in a headless Chromium, one for all tests, with a profile for each tab. */
export const describeBrowser = (name: string, body: (open: Open) => void): void => {
  const executablePath = binary()
  if (executablePath === undefined) return cannot(name, "there is no Chromium here: install the package chromium")
  describe(name, () => {
    let browser: Browser
    beforeAll(async () => {
      // As root it has no sandbox; it sees only pages of this repository.
      browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] })
    })
    afterAll(() => browser.close())
    body(async (url, options) => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
      // The policy of the page forbids to add a script later.
      await context.addInitScript(axe.source)
      const page = await context.newPage()
      page.setDefaultTimeout(30_000)
      const faults: Array<string> = []
      page.on("request", (request) => {
        if (!request.url().startsWith(url)) faults.push(`request to ${request.url()}`)
      })
      page.on("pageerror", (error) => faults.push(String(error)))
      page.on("console", (message) => {
        // A service that is away, or refuses a request, is part of the tests.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
          faults.push(message.text())
        }
      })
      await page.goto(url)
      return { page, faults }
    })
  })
}

/** What axe finds: the rule, and the elements. */
export const accessibilityFaults = (page: Page): Promise<ReadonlyArray<string>> =>
  page.evaluate(async () => {
    const { axe: loaded } = globalThis as unknown as { readonly axe: typeof axe }
    const { violations } = await loaded.run()
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)
  })
