// Dead letters on the page, in a headless Chromium: an embedded database in this process lets the test break a table.
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { accessibilityFaults, describeBrowser } from "../../kit/browser.js"
import { databaseFolder } from "../../kit/pglite.js"
import { ended, openDatabase, post, spendAttempts, start } from "./world.js"

describeBrowser("the page's dead letters", (open) => {
  it.scopedLive(
    "show why a job failed, and are retried from the last checkpoint, or discarded once that is confirmed",
    () =>
      Effect.gen(function*() {
        const world = yield* start(yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`))
        yield* world.sql`ALTER TABLE import_rows ADD CONSTRAINT small CHECK (row_number < 5)`
        const file = `n\n${"x\n".repeat(10)}`
        const [retried, discarded] = yield* Effect.forEach(
          ["retried.csv", "discarded.csv"],
          (name) => post(world, file, { path: `/imports?name=${name}` })
        )
        yield* spendAttempts(world, 2)
        yield* ended(world, retried!.body.id)
        yield* ended(world, discarded!.body.id)

        const { faults, page } = yield* Effect.promise(() => open(world.url))
        yield* Effect.promise(async () => {
          const letters = page.locator(".letter")
          await letters.filter({ hasText: "retried.csv" }).getByText("attempt 100 is one more than its schedule allows")
            .waitFor()
          assert.strictEqual(await letters.count(), 2)
          assert.deepStrictEqual(await accessibilityFaults(page), [])

          await page.getByRole("button", { name: "Discard discarded.csv" }).click()
          assert.strictEqual(await letters.count(), 2)
          await page.getByRole("button", { name: "Yes, discard it and its file: discarded.csv" }).click()
          await letters.filter({ hasText: "discarded.csv" }).waitFor({ state: "detached" })
        })
        yield* world.sql`ALTER TABLE import_rows DROP CONSTRAINT small`
        yield* Effect.promise(async () => {
          await page.getByRole("button", { name: "Retry retried.csv", exact: true }).click()
          await page.getByText("None: every job has completed").waitFor()
          await page.locator(".import", { hasText: "retried.csv" }).getByText("Completed").waitFor()
          await page.locator(".import", { hasText: "discarded.csv" }).getByText("Failed").waitFor()
        })
        assert.deepStrictEqual(faults, [])
      }),
    60_000
  )
})
