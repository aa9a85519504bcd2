import type { SqlClient } from "@effect/sql"
import { Array, DateTime, Duration, Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import { hasService, serviceOf } from "../../../../core/internal/fiberState.js"
import { type Row, transaction, TransactionTag } from "../../../database/contract.js"
import { dependenciesFault, dependenciesOf, type JobRef } from "../../internal/dependencies.js"
import { keysFault, keysOf } from "../../internal/jobKeys.js"
import { toDeadLetter } from "../../internal/jobRecord.js"
import { defaultPriority, priorityFault } from "../../internal/priority.js"
import { makeQueueBound } from "../../internal/queueBound.js"
import { idsFault, isStorableId, keepIdForMillis, storableText, uniqueForMillis } from "../../internal/storable.js"
import {
  type Claim,
  type JobQueue,
  type JobSourceError,
  LeaseLost,
  type Settlement,
  UnknownDependency
} from "../../JobSource.js"
import { makeAcknowledging } from "./acknowledging.js"
import type { Claiming } from "./claiming.js"
import { keyedPrefix } from "./keyTable.js"
import { sqlListing, toStoredJob } from "./listing.js"
import type { ListStatements } from "./listStatements.js"
import type { Notifier } from "./notifier.js"
import { failureOf, heldOrLost, json, runOn, settleAll } from "./rows.js"
import type { Statements } from "./statements.js"

/** One queue of the table. */
export const make = (options: {
  readonly name: string
  readonly lease: Duration.Duration
  /** Joins the transaction of the caller. */
  readonly sql: SqlClient.SqlClient
  /** A client that never waits behind jobs. */
  readonly reserved: SqlClient.SqlClient
  readonly statements: Statements
  readonly listStatements: ListStatements
  readonly claiming: Claiming
  readonly notifier: Notifier
  /** Whether claims follow priorities. */
  readonly priorities: boolean
  /** See `JobSourceSql.Options`. */
  readonly capacity: number
}): Omit<JobQueue, "paused" | "setPaused" | "onCancel" | "awaitEnd"> => {
  const { capacity, claiming, lease, listStatements, name, notifier, priorities, reserved, sql, statements } = options
  const leaseSeconds = Duration.toSeconds(lease)
  const idleMillis = String(Math.ceil(Duration.toMillis(lease)))

  const failure = failureOf(name)
  /** Values that are no JSON, such as a `bigint`, are refused. */
  const encoded = <A>(operation: string, encode: () => A) => Effect.try({ try: encode, catch: failure(operation) })
  const run = runOn(sql, name)

  const listing = sqlListing(name, run, listStatements)
  const isInTransaction = hasService(TransactionTag)
  const takeRoom = makeQueueBound({ queue: name, capacity, depth: listing.depth, isInTransaction })

  const count = (operation: string, statement: string, ...values: ReadonlyArray<unknown>) =>
    Effect.map(run(operation, statement, ...values), ([row]) => row?.jobs as number)

  const settle = (operation: string, statement: string, claim: Claim, ...values: ReadonlyArray<unknown>) =>
    heldOrLost(name, claim, settleAll(run)(operation, statement, [claim], ...values))

  const find = (operation: string, id: string): Effect.Effect<Option.Option<Row>, JobSourceError> =>
    isStorableId(id) ? Effect.map(run(operation, statements.find, id), Array.head) : Effect.succeedNone

  const { acknowledge, acknowledgeAll, acknowledgeWithin, commitWith } = makeAcknowledging({
    queue: name,
    sql,
    statements,
    notifier,
    idleMillis
  })

  const offerDependent = (
    payload: string,
    values: ReadonlyArray<unknown>,
    keys: ReadonlyArray<string | null>,
    awaited: boolean,
    dependsOn: ReadonlyArray<ReadonlyArray<JobRef>>
  ) => {
    const edges = dependsOn.flatMap((refs, index) => refs.map((ref) => ({ ...ref, nth: index + 1 })))
    const columns = [edges.map(({ nth }) => nth), edges.map(({ queue }) => queue), edges.map(({ id }) => id)]
    const offered = Effect.filterOrElse(
      run("offer", statements.offerDependent, ...values, keys, awaited, ...columns),
      ([row]) => typeof row?.id !== "string",
      ([row]) => failure("offer")(new UnknownDependency({ queue: row!.queue as string, id: row!.id as string }))
    )
    return notifier.notifying(name, () => offered, (rows) => rows?.length === 0 ? [] : [payload])
  }

  const settlement = (claim: Claim, how: Settlement) => {
    if (how._tag === "Ack") return acknowledgeWithin(claim, how.value)
    if (how._tag === "Snooze") {
      return Effect.flatMap(
        encoded("transact", () => Option.getOrNull(Option.map(how.cursor, json))),
        (cursor) => settle("transact", statements.snooze, claim, cursor, Duration.toSeconds(how.delay), idleMillis)
      )
    }
    const statement = how.handBack ? statements.checkpointAndHandBack : statements.checkpoint
    return Effect.flatMap(
      encoded("transact", () => json(how.cursor)),
      (cursor) => settle("transact", statement, claim, cursor, idleMillis)
    )
  }

  return {
    offer: (payloads, options = {}) => {
      if (payloads.length === 0) return Effect.succeed([])
      const { delay = Duration.zero, ids = payloads.map(() => randomUUID()), priority = defaultPriority } = options
      const keys = keysOf(options)
      const dependsOn = dependenciesOf(name, options)
      const fault = idsFault(payloads.length, options) ?? keysFault(payloads.length, options)
        ?? dependenciesFault(payloads.length, name, options)
      if (fault !== undefined) return failure("offer")(fault)
      const refused = priorities ? undefined : priorityFault(name, options, "its carrier delivers jobs in one order")
      if (refused !== undefined) return refused
      const seconds = (millis: number | undefined) => millis === undefined ? null : millis / 1_000
      const rest = [seconds(keepIdForMillis(options)), priority, seconds(uniqueForMillis(options))]
      return encoded("offer", () => payloads.map(json)).pipe(
        Effect.zipLeft(takeRoom(payloads.length)),
        Effect.flatMap((texts) => {
          const values = [ids, texts, Duration.toSeconds(delay), ...rest]
          const { offer, offerAwaited, offerKeyed, offerKeyedAwaited } = statements
          const payload = keys === undefined ? name : `${keyedPrefix}${name}`
          if (dependsOn !== undefined) {
            return offerDependent(
              payload,
              values,
              keys ?? payloads.map(() => null),
              options.awaited === true,
              dependsOn
            )
          }
          return notifier.notifying(
            name,
            () =>
              keys === undefined
                ? run("offer", options.awaited === true ? offerAwaited : offer, ...values)
                : run("offer", options.awaited === true ? offerKeyedAwaited : offerKeyed, ...values, keys),
            (rows) => rows?.length === 0 ? [] : [payload]
          )
        }),
        Effect.as(ids)
      )
    },

    ...claiming,

    // Settling comes last: it is the fence, and locks the job's row. While the writes run, the lease is renewed, and runs out
    // if this process dies; a holder that has lost it is rolled back with its writes.
    transact: (claim, writes, how) => {
      const inTransaction = Effect.suspend(() =>
        transaction(sql, Effect.zipLeft(writes, Effect.suspend(() => settlement(claim, how))), failure("transact"))
      )
      const writesNothing = Object.is(writes, Effect.void)
      return Effect.withFiberRuntime((fiber) => {
        // A transaction of the caller goes on: it must learn now whether the lease is lost.
        if (serviceOf(fiber, TransactionTag) !== undefined) return inTransaction
        if (how._tag === "Ack") {
          return writesNothing ? acknowledge(claim, how.value, writes) : commitWith(claim, writes, how.value)
        }
        // One statement is a transaction by itself.
        return writesNothing ? Effect.zipRight(settlement(claim, how), writes) : inTransaction
      })
    },

    acknowledge: acknowledgeAll,

    // Here the acknowledgement comes first, because the writes depend on what is held. The rows are locked until the commit.
    transactAll: (claims, writes) => {
      const work = Effect.gen(function*() {
        const lost = yield* acknowledgeAll(claims)
        const held = claims.filter((claim) => !lost.includes(claim))
        if (!Array.isNonEmptyReadonlyArray(held)) return yield* new LeaseLost({ queue: name, id: claims[0].id })
        return { value: yield* writes(held), lost }
      })
      return transaction(sql, work, failure("transactAll"))
    },

    retry: (claim, { delay, error }) =>
      Effect.asVoid(settle("retry", statements.retry, claim, storableText(error), Duration.toSeconds(delay))),

    deadLetter: (claim, error, failure = Option.none()) =>
      encoded("deadLetter", () => Option.getOrNull(Option.map(failure, json))).pipe(
        Effect.flatMap((failure) => settle("deadLetter", statements.deadLetter, claim, storableText(error), failure)),
        Effect.asVoid
      ),

    handBack: (claims) => settleAll(run)("handBack", statements.handBack, claims),

    renew: (claims) => settleAll(runOn(reserved, name))("renew", statements.renew, claims, leaseSeconds),

    cancel: (ids) => count("cancel", statements.cancel, ids.filter(isStorableId)),

    size: count("size", statements.size),

    ...listing,

    find: (id) => Effect.map(find("find", id), Option.map(toStoredJob)),

    deadLetters: {
      list: (limit, after) =>
        Effect.map(
          run(
            "deadLetters.list",
            statements.deadLetters,
            limit,
            after === undefined ? null : DateTime.formatIso(after.failedAt),
            after?.id ?? null
          ),
          Array.map(toDeadLetter)
        ),
      get: (id) =>
        Effect.map(
          find("deadLetters.get", id),
          (row) => Option.map(Option.filter(row, ({ state }) => state === "dead"), toDeadLetter)
        ),
      redrive: (ids, options) =>
        count("deadLetters.redrive", statements.redrive, ids.filter(isStorableId), options?.fromStart === true),
      discard: (ids) => count("deadLetters.discard", statements.discard, ids.filter(isStorableId))
    }
  }
}
