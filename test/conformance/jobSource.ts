import { describe } from "@effect/vitest"
import { batchesConform } from "./jobs/batches.js"
import { boundsConform } from "./jobs/bounds.js"
import { cancelsConform } from "./jobs/cancels.js"
import { claimsConform } from "./jobs/claims.js"
import { controlConforms } from "./jobs/control.js"
import { deadLettersConform } from "./jobs/deadLetters.js"
import { dependenciesConform } from "./jobs/dependencies.js"
import { endsConform } from "./jobs/ends.js"
import { idsConform } from "./jobs/ids.js"
import { keysConform } from "./jobs/keys.js"
import { leasesConform } from "./jobs/leases.js"
import { listingConforms } from "./jobs/listing.js"
import { prioritiesConform } from "./jobs/priorities.js"
import { snoozesConform } from "./jobs/snoozes.js"
import { type Conditions, makeSuite } from "./jobs/suite.js"
import { transactionsConform } from "./jobs/transactions.js"

export type { Conditions }

/** The suite that every implementation of `JobSource` passes: one file of `jobs` for each concern. */
export const jobSourceConformance = (name: string, conditions: Conditions) => {
  describe(`${name} conforms to JobSource:`, () => {
    const suite = makeSuite(conditions)
    batchesConform(suite)
    claimsConform(suite)
    controlConforms(suite)
    deadLettersConform(suite)
    dependenciesConform(suite)
    endsConform(suite)
    idsConform(suite)
    keysConform(suite)
    leasesConform(suite)
    cancelsConform(suite)
    listingConforms(suite)
    prioritiesConform(suite)
    snoozesConform(suite)
    transactionsConform(suite)
    boundsConform(suite)
  })
}
