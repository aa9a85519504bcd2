import { Reactivity } from "@effect/experimental"
import * as Sql from "@effect/sql"
import { PGlite } from "@electric-sql/pglite"
import {
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  FiberId,
  FiberRef,
  Layer,
  Option,
  Stream,
  Subscribable
} from "effect"
import pg from "pg"
import { Database, execute } from "../../src/layers/database/contract.js"
import { makeConnectionPool } from "../../src/layers/database/internal/connectionPool.js"
import { makeErrors } from "../../src/layers/database/internal/errors.js"
import { connectPglite } from "../../src/layers/database/internal/pgliteConnection.js"
import { makeMemoryQueue } from "../../src/layers/jobs/internal/memoryQueue.js"
import { makeOrphanTurn } from "../../src/layers/jobs/internal/orphanTurn.js"
import { type JobQueue, JobSource, LeaseLost } from "../../src/layers/jobs/JobSource.js"
import * as JobSourceSql from "../../src/layers/jobs/sql/JobSourceSql.js"
import { sqlClientOver } from "../kit/sqlClientOver.js"

/** Writes an effect of a job, in the transaction around it. */
export class Ledger extends Context.Tag("Ledger")<Ledger, (effect: string) => Effect.Effect<void>>() {}

/** A store that outlives the processes over it. */
export interface Store {
  /** What a process opens of it. */
  readonly open: Layer.Layer<JobSource | Ledger>
  /** What becomes of the connections of a process that has died. */
  readonly cut: Effect.Effect<void>
  /** The committed effects. */
  readonly effects: Effect.Effect<ReadonlyArray<string>>
}

/** The effects that the transaction around a fiber has written and not yet committed. */
const uncommitted = FiberRef.unsafeMake<Array<string> | undefined>(undefined)

/** In memory, with transactions: a commit is one operation, so it happens wholly or not at all. */
export const memoryStore: Effect.Effect<Store> = Effect.sync(() => {
  const lease = 4000
  const queue = makeMemoryQueue({ name: "jobs", waiters: new Map(), capacity: 1000, lease })
  const effects: Array<string> = []
  const now = Clock.currentTimeMillis
  const unused = Effect.dieMessage("not used")

  const jobs: JobQueue = {
    offer: (payloads, { ids } = {}) => Effect.map(now, (now) => queue.add(now, payloads, { delay: 0, ids })),
    wait: Effect.interruptible(Effect.suspend(() => {
      const changed = Deferred.unsafeMake<void>(FiberId.none)
      const stop = queue.onChange(() => Deferred.unsafeDone(changed, Exit.void))
      return Effect.flatMap(
        now,
        (now) =>
          Effect.raceFirst(
            Deferred.await(changed),
            Effect.sleep(Math.ceil(Math.max(0, Math.min(queue.dueIn(now), lease))))
          )
      )
        .pipe(Effect.ensuring(Effect.sync(stop)))
    })),
    claim: (limit, { orphan = true } = {}) => Effect.map(now, (now) => queue.claim(now, limit, orphan)),
    transact: (claim, writes, settlement) =>
      Effect.suspend(() => {
        const written: Array<string> = []
        return Effect.flatMap(Effect.locally(writes, uncommitted, written), (value) =>
          Effect.flatMap(now, (now) => {
            if (!queue.isHeld(now, claim)) return new LeaseLost({ queue: "jobs", id: claim.id })
            effects.push(...written)
            if (settlement._tag === "Ack") queue.remove(now, claim)
            if (settlement._tag === "Checkpoint") {
              queue.setCursor(claim, settlement.cursor)
              if (settlement.handBack) queue.putBack(now, claim, { attemptSpent: false, delay: 0 })
            }
            return Effect.succeed(value)
          }))
      }),
    acknowledge: () => unused,
    transactAll: () => unused,
    retry: (claim, { delay }) =>
      Effect.map(now, (now) => queue.putBack(now, claim, { attemptSpent: true, delay: Duration.toMillis(delay) })),
    deadLetter: () => unused,
    handBack: (claims) =>
      Effect.map(now, (now) => {
        for (const claim of claims) queue.putBack(now, claim, { attemptSpent: false, delay: 0 })
        return []
      }),
    renew: (claims) =>
      Effect.map(now, (now) => {
        const lost = claims.filter((claim) => !queue.isHeld(now, claim))
        for (const claim of claims) queue.renew(claim, now + lease)
        return lost
      }),
    size: Effect.sync(queue.size),
    paused: Subscribable.make({ get: Effect.succeed(false), changes: Stream.empty }),
    setPaused: () => unused,
    cancel: () => unused,
    onCancel: () => Effect.void,
    find: () => unused,
    awaitEnd: () => unused,
    list: () => unused,
    listLimits: { Waiting: 0, Delayed: 0, Blocked: 0, Running: 0, Dead: 0 },
    depth: unused,
    deadLetters: { list: () => unused, get: () => unused, redrive: () => unused, discard: () => unused }
  }

  return {
    open: Layer.merge(
      Layer.succeed(JobSource, {
        durable: true,
        priorities: true,
        keys: true,
        dependencies: false,
        renewEvery: Duration.millis(1000),
        orphanTurn: makeOrphanTurn(),
        open: () => Effect.succeed(jobs)
      }),
      Layer.succeed(
        Ledger,
        (effect) => Effect.map(FiberRef.get(uncommitted), (written) => void (written ?? effects).push(effect))
      )
    ),
    cut: Effect.void,
    effects: Effect.sync(() => effects)
  }
})

/**
 * In PGlite. Every process opens a connection of its own to the one instance, whose clock is that of the process. Made once:
 * each run begins with empty tables.
 */
export const makePgliteStore = Effect.gen(function*() {
  const db = yield* Effect.acquireRelease(
    Effect.promise(() => PGlite.create()),
    (db) => Effect.promise(() => db.close())
  )
  const exec = (sql: string) => Effect.tryPromise(() => db.exec(sql))
  yield* exec(`
    CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
      $$ SELECT to_timestamp(current_setting('store.now')::float8 / 1000) $$;
    SET search_path TO public, pg_catalog;
    SET store.now TO '0';
    CREATE TABLE effects (number bigint GENERATED ALWAYS AS IDENTITY, effect text NOT NULL)`).pipe(Effect.orDie)

  let processes: Array<{ readonly die: () => void }> = []
  /** The database of one process. When the process has died, it sends nothing and is answered nothing. */
  const connect = (clock: Clock.Clock, reactivity: Reactivity.Reactivity.Service) => {
    let alive = true
    const listening: Array<() => void> = []
    processes.push({
      die: () => {
        alive = false
        for (const stop of listening) stop()
      }
    })
    /** Waits for the turn of the process, and for ever once it has died. */
    const sent = async <A>(send: () => Promise<A>): Promise<A> => {
      if (alive) await db.exec(`SET store.now TO '${clock.unsafeCurrentTimeMillis()}'`).catch(() => undefined)
      return alive ? send() : new Promise<never>(() => {})
    }
    const connection: Pick<PGlite, "exec" | "query"> = {
      query: (...args) => sent(() => db.query(...args)),
      exec: (...args) => sent(() => db.exec(...args))
    }
    const errors = makeErrors(Sql)
    const pool = makeConnectionPool(1, errors, connectPglite(connection, pg, pg.types, errors))
    const sql = sqlClientOver(pool, reactivity)
    return Context.make(Sql.SqlClient.SqlClient, sql).pipe(Context.add(Database, {
      kind: "pglite",
      connections: Option.some(1),
      reserved: sql,
      listen: (channel) =>
        Stream.asyncPush<string>((emit) =>
          Effect.gen(function*() {
            listening.push(db.onNotification((from, payload) => from === channel && emit.single(payload)))
            yield* Effect.orDie(execute(sql, `LISTEN ${channel}`, []))
            emit.single("")
          })
        ),
      notify: () => Effect.void
    }))
  }
  const cut = Effect.zipRight(
    Effect.sync(() => {
      for (const { die } of processes) die()
      processes = []
    }),
    Effect.ignore(exec("ROLLBACK; UNLISTEN *"))
  )
  const database = Layer.effectContext(Effect.zipWith(Effect.clock, Reactivity.make, connect))
  const open = Layer.merge(
    JobSourceSql.layer({ lease: "4 seconds", expireEvery: "2 seconds" }),
    Layer.effect(
      Ledger,
      Effect.map(
        Sql.SqlClient.SqlClient,
        (sql) => (effect: string) => Effect.orDie(Effect.asVoid(sql`INSERT INTO effects (effect) VALUES (${effect})`))
      )
    )
  ).pipe(Layer.provide(database))

  // Makes the table of jobs.
  yield* Effect.flatMap(JobSource, (source) => source.open({ name: "jobs" })).pipe(
    Effect.provide(open),
    Effect.scoped,
    Effect.orDie
  )

  return Effect.gen(function*() {
    yield* cut
    yield* Effect.orDie(exec("TRUNCATE effects, lastcall_jobs; SET store.now TO '0'"))
    const store: Store = {
      open,
      cut,
      effects: Effect.promise(async () =>
        (await db.query<{ readonly effect: string }>("SELECT effect FROM effects ORDER BY number")).rows.map((_) =>
          _.effect
        )
      )
    }
    return store
  })
})
