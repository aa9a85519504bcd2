/**
 * The API as a description, from which its handlers and its OpenAPI page are derived.
 */
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { LifecycleState } from "../../core/ShutdownReport.js"
import * as JobConsole from "../../layers/jobs/JobConsole.js"
import * as ScheduleConsole from "../../layers/jobs/ScheduleConsole.js"
import { DeadLetter, Guess, Import, Rejects, Rows } from "./Domain.js"
import * as Errors from "./Errors.js"
import { LastShutdown } from "./ServiceState.js"

const maxInt = 2 ** 31 - 1

const number = (from: number, to: number) => Schema.NumberFromString.pipe(Schema.int(), Schema.between(from, to))

const Page = Schema.Struct({
  after: Schema.optionalWith(number(0, maxInt), { default: () => 0 }),
  limit: Schema.optionalWith(number(1, 1000), { default: () => 100 })
})

/** Text that the database can store. */
const text = Schema.String.pipe(
  Schema.maxLength(255),
  Schema.filter((text) => !text.includes("\0") || "Expected text without NUL characters")
)

/** A request has the parameter or not, and none that is `undefined`. */
const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

const id = HttpApiSchema.param("id", Schema.String)

/** The handlers read the body themselves. */
const withFile = (operation: object) => ({
  ...operation,
  requestBody: {
    required: true,
    content: {
      "text/csv": { schema: { type: "string", format: "binary" } },
      "application/x-ndjson": { schema: { type: "string", format: "binary" } }
    }
  }
})

const create = HttpApiEndpoint.post("create", "/imports")
  .setUrlParams(Schema.Struct({
    name: optional(text.pipe(Schema.minLength(1))),
    columns: Schema.optionalWith(Schema.String.pipe(Schema.maxLength(4096)), { default: () => "" })
  }))
  .setHeaders(Schema.Struct({
    "content-type": optional(Schema.String),
    "content-encoding": optional(Schema.String),
    "content-length": optional(Schema.NumberFromString),
    "idempotency-key": optional(Schema.NonEmptyString.pipe(Schema.maxLength(255)))
  }))
  .addSuccess(Import, { status: 202 })
  .addError(Errors.UnsupportedContentType)
  .addError(Errors.BodyTooLarge)
  .addError(Errors.InvalidFile)
  .addError(Errors.InvalidColumns)
  .addError(Errors.UploadInProgress)
  .addError(Errors.UploadCancelled)
  .addError(Errors.UploadAborted)
  .addError(Errors.IdempotencyKeyReused)
  .annotate(
    OpenApi.Description,
    "Uploads a file: `text/csv` with a header, or `application/x-ndjson`. `columns` declares types, such as " +
      "`amount:number,day:date?`. The types are `string`, `number`, `integer`, `boolean` and `date`; `?` also accepts " +
      "an empty value. With an `Idempotency-Key` the same file is imported once, however often it is sent. The " +
      "response's `Location` is the import."
  )
  .annotate(OpenApi.Transform, withFile)

const guess = HttpApiEndpoint.post("guess", "/columns")
  .setUrlParams(Schema.Struct({ truncated: Schema.optionalWith(Schema.BooleanFromString, { default: () => false }) }))
  .setHeaders(Schema.Struct({
    "content-type": optional(Schema.String),
    "content-encoding": optional(Schema.String)
  }))
  .addSuccess(Guess)
  .addError(Errors.UnsupportedContentType)
  .addError(Errors.BodyTooLarge)
  .addError(Errors.InvalidFile)
  .addError(Errors.UploadAborted)
  .annotate(
    OpenApi.Description,
    "Guesses the types of the columns from the first rows of a file, at most 256 KiB of it; `truncated` says that there are " +
      "more. Stores nothing."
  )
  .annotate(OpenApi.Transform, withFile)

class Imports extends HttpApiGroup.make("imports")
  .add(create)
  .add(guess)
  .add(
    HttpApiEndpoint.get("list", "/imports").addSuccess(Schema.Struct({ imports: Schema.Array(Import) }))
      .annotate(OpenApi.Description, "The latest 100 imports, newest first.")
  )
  .add(HttpApiEndpoint.get("get")`/imports/${id}`.addSuccess(Import).addError(Errors.ImportNotFound))
  .add(
    HttpApiEndpoint.get("rows")`/imports/${id}/rows`.setUrlParams(Page).addSuccess(Rows).addError(Errors.ImportNotFound)
      .annotate(OpenApi.Description, "Rows after the row number `after`. A page may be shorter than `limit`.")
  )
  .add(
    HttpApiEndpoint.get("rejects")`/imports/${id}/rejects`.setUrlParams(Page).addSuccess(Rejects)
      .addError(Errors.ImportNotFound)
      .annotate(OpenApi.Description, "Rows that were rejected, and why.")
  )
  .add(
    HttpApiEndpoint.get("rejectsCsv")`/imports/${id}/rejects.csv`
      .addSuccess(HttpApiSchema.Text({ contentType: "text/csv" })).addError(Errors.ImportNotFound)
      .annotate(OpenApi.Description, "All rejected rows as one CSV file, for a download.")
  )
  .add(
    HttpApiEndpoint.get("events")`/imports/${id}/events`
      .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" })).addError(Errors.ImportNotFound)
      .annotate(
        OpenApi.Description,
        "Server-sent events: `progress` with the import whenever it has changed. Ends when the import ends, and when the " +
          "service drains: reconnect then."
      )
  )
  .add(
    HttpApiEndpoint.del("cancel")`/imports/${id}`.addSuccess(Import).addError(Errors.ImportNotFound)
      .annotate(OpenApi.Description, "Cancels an import that has not ended. Rows that are loaded stay.")
  )
  .addError(Errors.DatabaseUnavailable)
{}

/** Jobs that have used all their attempts. */
class DeadLetters extends HttpApiGroup.make("deadLetters")
  .add(
    HttpApiEndpoint.get("list", "/dead-letters")
      .setUrlParams(Schema.Struct({
        after: optional(Schema.String.pipe(Schema.pattern(/^\d{1,15}\../))),
        limit: Schema.optionalWith(number(1, 1000), { default: () => 100 })
      }))
      .addSuccess(Schema.Struct({ deadLetters: Schema.Array(DeadLetter), next: Schema.NullOr(Schema.String) }))
      .annotate(OpenApi.Description, "Oldest first. The next page is the one `after` the `next` of this page.")
  )
  .add(HttpApiEndpoint.get("get")`/dead-letters/${id}`.addSuccess(DeadLetter).addError(Errors.DeadLetterNotFound))
  .add(
    HttpApiEndpoint.post("retry")`/dead-letters/${id}/retry`
      .setUrlParams(Schema.Struct({
        fromStart: Schema.optionalWith(Schema.BooleanFromString, { default: () => false })
      }))
      .addSuccess(HttpApiSchema.Empty(202)).addError(Errors.DeadLetterNotFound)
      .annotate(
        OpenApi.Description,
        "Loads the import again, with all its attempts: from its last checkpoint, or `fromStart`."
      )
  )
  .add(
    HttpApiEndpoint.del("discard")`/dead-letters/${id}`.addSuccess(HttpApiSchema.NoContent)
      .addError(Errors.DeadLetterNotFound)
      .annotate(OpenApi.Description, "Deletes the job and the file. Rows that are loaded stay.")
  )
  .addError(Errors.DatabaseUnavailable)
{}

/** The state of the service itself. */
class Service extends HttpApiGroup.make("service")
  .add(HttpApiEndpoint.get("status", "/status").addSuccess(Schema.Struct({ state: LifecycleState })))
  .add(
    HttpApiEndpoint.get("events", "/service/events")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" }))
      .annotate(
        OpenApi.Description,
        "Server-sent events: `service` with the state, the time that remains and the resources, whenever they have changed. In a " +
          "drain it ends with the last other request: reconnect then."
      )
  )
  .add(
    HttpApiEndpoint.get("lastShutdown", "/service/last-shutdown").addSuccess(LastShutdown)
      .annotate(OpenApi.Description, "The report of the shutdown before this start, if `SHUTDOWN_REPORT` keeps it.")
  )
{}

export class Api extends HttpApi.make("importer")
  .add(Imports)
  .add(DeadLetters)
  .add(JobConsole.Group)
  .add(ScheduleConsole.Group)
  .add(Service)
  .annotateContext(OpenApi.annotations({
    title: "Importer",
    description:
      "Loads uploaded CSV and NDJSON files into PostgreSQL, each row exactly once, however often the service is restarted."
  }))
{}
