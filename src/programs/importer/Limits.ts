/**
 * What a request may take.
 */
import { Context, Duration } from "effect"

export class Limits extends Context.Reference<Limits>()("importer/Limits", {
  defaultValue: () => ({
    /** 100 MiB: some minutes of work for one worker, and a file that somebody still looks at. */
    bodyBytes: 100 * 1024 * 1024,
    /** How long one answer of the database is waited for: longer than any statement takes, shorter than clients wait. */
    patience: Duration.seconds(10)
  })
}) {}
