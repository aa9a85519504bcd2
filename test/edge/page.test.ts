// The importer's page in a headless Chromium.
import type { Page } from "playwright-core"
import { assert, vi } from "vitest"
import { accessibilityFaults, describeBrowser } from "../kit/browser.js"
import { freePort } from "../kit/freePort.js"
import { databaseFolder } from "../kit/pglite.js"
import { page as buildPage } from "../kit/programs.js"
import { it } from "../kit/service.js"
import { slowUpload } from "./clients.js"
import { screenshot } from "./screenshots.js"

vi.setConfig({ testTimeout: 240_000 })

/** Every hundredth row has no amount. */
const csv = (rows: number): string =>
  `id,customer,amount,day,paid\n${
    Array.from({ length: rows }, (_, i) =>
      `${i + 1},customer ${i % 97},${i % 100 === 99 ? "n/a" : (i / 4).toFixed(2)},2026-0${1 + (i % 9)}-17,${
        i % 3 === 0
      }\n`)
      .join("")
  }`

const fileOf = (name: string, text: string) => ({ name, mimeType: "text/csv", buffer: Buffer.from(text) })

/** The card of the import with this name. */
const cardOf = (page: Page, name: string) => page.locator(".import", { hasText: name })

/** The state that the header marks as the current one. */
const state = (page: Page, name: string) => page.locator(".states [aria-current]", { hasText: name }).waitFor()

const said = (page: Page, text: RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor()

const environment = async () => ({ PORT: String(await freePort()), DATABASE_URL: `pglite:${await databaseFolder()}` })

describeBrowser("the page", (open) => {
  it("follows an import and a drain, reconnects to the next process, and shows the report and the rejects", async ({ start }) => {
    buildPage()
    const env = await environment()
    const service = start(env)
    await service.runs()
    const { faults, page } = await open(`http://127.0.0.1:${env.PORT}`)
    await state(page, "Running")
    await page.getByText("Nothing is imported yet").waitFor()
    await screenshot(page, "empty")

    const rows = 40_000
    await page.setInputFiles("input[type=file]", fileOf("orders.csv", csv(rows)))
    // The first rows have a value that is no number, after which the column is a text.
    const amount = page.getByLabel("Type of amount")
    assert.strictEqual(await amount.inputValue(), "string")
    assert.strictEqual(await page.getByLabel("Type of day").inputValue(), "date")
    await amount.selectOption("number")
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    await screenshot(page, "columns")
    const upload = await slowUpload(service.api)
    await page.getByRole("button", { name: "Import", exact: true }).click()
    const card = cardOf(page, "orders.csv")
    await card.getByText(/[\d,]+ rows\/s/).waitFor()
    await card.getByText(/ left$/).waitFor()
    await cardOf(page, "import.csv").getByText("the file arrives").waitFor()

    await page.getByText("1 in flight").first().waitFor()
    service.kill("SIGINT")
    await state(page, "Draining")
    await page.getByText(/[\d.]+ s of 25 s left/).waitFor()
    await page.locator("[data-stage=draining]", { hasText: "http" }).getByText("1 in flight").waitFor()
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    await page.mouse.move(0, 0)
    await screenshot(page, "draining")
    assert.strictEqual((await upload.finish()).statusCode, 202)
    await said(page, /has stopped accepting/)
    await card.getByText("goes on from here in the next process").waitFor()
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    assert.deepStrictEqual(await service.ended, { code: 0, signal: null })
    assert.deepInclude(service.report().drains.find(({ name }) => name === "http"), { outcome: "Drained", cut: 0 })

    const next = start(env, service.folder)
    await said(page, /Reconnected after/)
    await state(page, "Running")
    const report = page.locator("section", { hasText: "Last shutdown" })
    await report.getByText(/SIGINT: stopped in .* of 25 s, exit 0/).waitFor()
    await report.getByText(/1 handed back/).waitFor()
    await card.getByText("Completed").waitFor()
    await card.getByText(/39,600 loaded, 400 rejected/).waitFor()

    await card.getByRole("button", { name: "Rejects of orders.csv" }).click()
    const table = page.getByRole("region", { name: "Rejects of orders.csv" })
    await table.getByText("amount: expected a number, but found \"n/a\"").first().waitFor()
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download all as CSV" }).click()
    ])
    let text = ""
    for await (const bytes of await download.createReadStream()) text += String(bytes)
    assert.strictEqual(text.trimEnd().split("\r\n").length, 401)
    assert.match(text, /^row,reason,excerpt\r\n100,"amount: expected a number, but found ""n\/a""","100,/)
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    await page.getByRole("region", { name: "Queues" }).getByText("0 of 4 workers busy").waitFor()
    await screenshot(page, "reconnected", { whole: true })
    assert.deepStrictEqual(faults, [])
    next.kill("SIGINT")
    assert.deepStrictEqual(await next.ended, { code: 0, signal: null })
  })

  it("takes several dropped files, is worked by keyboard, and fits a phone and a dark room", async ({ start }) => {
    buildPage()
    const env = await environment()
    await start(env).runs()
    const { faults, page } = await open(`http://127.0.0.1:${env.PORT}`, {
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      colorScheme: "dark"
    })
    const dropped = await page.evaluateHandle(() => {
      const { DataTransfer, File } = globalThis as any
      const files = new DataTransfer()
      files.items.add(new File(["id,name\n1,Ada\n2,Grace\n"], "people.csv"))
      files.items.add(new File(["{\"n\":12345678901234567890}\n"], "numbers.ndjson"))
      files.items.add(new File(["1,2\n3,4\n"], "headless.csv"))
      return files
    })
    await page.dispatchEvent(".drop", "drop", { dataTransfer: dropped })
    await page.getByRole("alert").filter({ hasText: "the first line is not a header" }).waitFor()
    await page.getByLabel("Type of name").waitFor()
    await page.getByLabel("Type of n", { exact: true }).waitFor()
    await page.getByRole("article", { name: "headless.csv" }).getByRole("button", { name: "Remove" }).press("Enter")
    await page.getByRole("button", { name: "Import all 2 files" }).press("Enter")
    await cardOf(page, "people.csv").getByText("Completed").waitFor()
    await cardOf(page, "numbers.ndjson").getByText("Completed").waitFor()
    await page.getByText("Import all").waitFor({ state: "detached" })
    await page.getByRole("button", { name: "Rows of numbers.ndjson" }).press("Enter")
    await page.getByRole("region", { name: "Rows of numbers.ndjson" }).getByText("12345678901234567890").waitFor()

    assert.deepStrictEqual(await accessibilityFaults(page), [])
    assert.isTrue(
      await page.evaluate(() => {
        const { document, innerWidth } = globalThis as any
        return document.documentElement.scrollWidth <= innerWidth
      }),
      "scrolls sideways"
    )
    await screenshot(page, "phone")
    assert.deepStrictEqual(faults, [])
  })

  it("\"import all\" also imports the files whose first rows are still being read, and reads again those that could not be read", async ({ start }) => {
    buildPage()
    const env = await environment()
    await start(env).runs()
    const { faults, page } = await open(`http://127.0.0.1:${env.PORT}`)
    /** The first rows of NDJSON files are not read before. */
    let read = () => {}
    const mayRead = new Promise<void>((resolve) => read = resolve)
    let away = true
    await page.route("**/columns?*", async (route) => {
      const type = route.request().headers()["content-type"]
      if (type === "application/x-ndjson") await mayRead
      else if (away) return route.abort()
      await route.continue()
    })
    const ndjson = (name: string) => ({ name, mimeType: "", buffer: Buffer.from("{\"n\":1}\n") })
    await page.setInputFiles("input[type=file]", fileOf("unread.csv", csv(3)))
    const unread = page.getByRole("article", { name: "unread.csv" })
    await unread.getByRole("alert").filter({ hasText: "the service does not answer" }).waitFor()
    away = false
    await page.setInputFiles("input[type=file]", fileOf("people.csv", csv(3)))
    await page.getByLabel("Type of amount").waitFor()
    await page.setInputFiles("input[type=file]", [ndjson("slow.ndjson"), ndjson("unwanted.ndjson")])

    await page.getByRole("button", { name: "Import all 4 files" }).press("Enter")
    await cardOf(page, "people.csv").getByText("Completed").waitFor()
    await cardOf(page, "unread.csv").getByText("Completed").waitFor()
    const slow = page.getByRole("article", { name: "slow.ndjson" })
    await slow.getByRole("status").filter({ hasText: "is imported as soon as its first rows are read" }).waitFor()
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    await page.getByRole("article", { name: "unwanted.ndjson" }).getByRole("button", { name: "Remove" }).press("Enter")
    read()
    await cardOf(page, "slow.ndjson").getByText("Completed").waitFor()
    await slow.waitFor({ state: "detached" })
    assert.strictEqual(await cardOf(page, "unwanted.ndjson").count(), 0)
    assert.deepStrictEqual(faults, [])
  })

  it("pauses and resumes a queue, cancels a job that waits, and runs a task of the schedule, by keyboard", async ({ start }) => {
    buildPage()
    const env = await environment()
    await start(env).runs()
    const { faults, page } = await open(`http://127.0.0.1:${env.PORT}`)
    const queues = page.getByRole("region", { name: "Queues" })
    await queues.getByText("0 of 4 workers busy").waitFor()
    await queues.getByRole("button", { name: "Pause importer" }).press("Enter")
    await queues.getByRole("status").filter({ hasText: "Paused in all processes: no job begins." }).waitFor()

    await page.setInputFiles("input[type=file]", [fileOf("people.csv", csv(3)), fileOf("unwanted.csv", csv(5))])
    await page.getByLabel("Type of amount").nth(1).waitFor()
    await page.getByRole("button", { name: "Import all 2 files" }).press("Enter")
    const jobs = queues.getByRole("list", { name: "Jobs of importer" })
    await jobs.getByRole("listitem").filter({ hasText: /people\.csvwaits for/ }).waitFor()
    await jobs.getByRole("listitem").filter({ hasText: /unwanted\.csvwaits for/ }).waitFor()
    await cardOf(page, "people.csv").getByText("Queued").waitFor()
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    await screenshot(page, "paused", { whole: true })

    await jobs.getByRole("button", { name: "Cancel the job of unwanted.csv" }).press("Enter")
    await cardOf(page, "unwanted.csv").getByText("Cancelled").waitFor()
    await queues.getByRole("button", { name: "Resume importer" }).press("Enter")
    await cardOf(page, "people.csv").getByText("Completed").waitFor()
    await jobs.waitFor({ state: "detached" })

    const schedule = page.getByRole("region", { name: "Schedule" })
    await schedule.getByText(/^in \d+ s$|^now$/).waitFor()
    await schedule.getByText(/ ago$/).waitFor()
    const [run] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === "POST"),
      schedule.getByRole("button", { name: "Run now: orphan-cleanup" }).press("Enter")
    ])
    assert.deepStrictEqual([run.status(), new URL(run.url()).pathname], [202, "/schedules/orphan-cleanup/run"])

    await page.route("**/queues", (route) => route.abort())
    await queues.getByRole("alert").filter({ hasText: "the service does not answer" }).waitFor()
    assert.deepStrictEqual(await accessibilityFaults(page), [])
    await page.unroute("**/queues")
    await queues.getByRole("alert").waitFor({ state: "detached" })
    assert.deepStrictEqual(faults, [])
  })
})
