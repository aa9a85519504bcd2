import { foundColumns, inEachPriority } from "./statements.js"

/** Up to how many jobs of a state are counted. Above it their number is estimated. */
export const mostCounted = 10_000

/** How many pages of the table are looked at to estimate the number of jobs. */
const sampledPages = 1_000

/**
 * Statements that show what is in the table; `$1` is the queue everywhere. Each reads an index from one place on, and no more of it
 * than it returns.
 */
export const listStatementsOf = (table: string) => {
  const now = "(SELECT clock_timestamp())"
  const columns = foundColumns("id, payload::text AS payload, cursor::text AS cursor, attempt")
  const waiting = `queue = $1 AND state = 'waiting' AND due_at <= ${now}`
  const delayed = `queue = $1 AND state = 'waiting' AND due_at > ${now}`
  const blocked = "queue = $1 AND state = 'blocked'"
  const running = "queue = $1 AND state = 'running'"
  const dead = "queue = $1 AND state = 'dead'"

  /**
   * `$2` is the limit, `$3` and `$4` are the position before the page: the time in microseconds, and the key. One comparison says
   * where the index is entered: beside it, one with `from` would be checked for every row.
   */
  const list = (from: string, time: string, key: string) =>
    `SELECT ${columns}, (extract(epoch FROM ${time}) * 1000000)::bigint::text || '.' || ${key} AS position
    FROM ${from} ORDER BY ${time}, ${key} LIMIT $2::int`
  const afterPosition = (time: string, key: string, firstKey: string, from = "'-infinity'") =>
    `(${time}, ${key}) > (
      greatest(${from}, 'epoch'::timestamptz + $3::float8 * interval '1 microsecond'), coalesce(${firstKey}))`
  /** Jobs of any priority, in the order in which they became due. */
  const byDueTime = (condition: string, from?: string) =>
    list(
      inEachPriority(
        table,
        `${condition} AND ${afterPosition("due_at", "number", "$4::text::bigint, 0", from)}`,
        "*",
        "$2::int"
      ),
      "job.due_at",
      "job.number"
    )
  const byTime = (condition: string, time: string) =>
    list(`${table} AS job WHERE ${condition} AND ${afterPosition(time, "job.id", "$4::text, ''")}`, time, "job.id")

  const states = { waiting, delayed, blocked, running, dead }
  const each = (expression: (name: string, condition: string) => string) =>
    Object.entries(states).map(([name, condition]) => expression(name, condition)).join(", ")
  const enough = String(mostCounted + 1)
  const firstOnes = (condition: string) => {
    const jobs = condition === waiting || condition === delayed
      ? inEachPriority(table, condition, "1", enough)
      : `${table} WHERE ${condition}`
    return `SELECT count(*) FROM (SELECT 1 FROM ${jobs} LIMIT ${enough}) AS first_ones`
  }
  const percent = `least(100, 100.0 * ${sampledPages} * current_setting('block_size')::int
    / greatest(1, pg_relation_size('${table}')))`

  return {
    lists: {
      Waiting: byDueTime(waiting),
      Delayed: byDueTime("queue = $1 AND state = 'waiting'", now),
      Blocked: `SELECT ${columns}, number || '.' || key AS position FROM ${table}
        WHERE ${blocked} AND (key, number) > (coalesce($4::text, ''), coalesce($3::float8, 0)::bigint)
        ORDER BY queue, key, number LIMIT $2::int`,
      // Processes of the version before do not say when they claim.
      Running: byTime(running, "coalesce(job.claimed_at, job.created_at)"),
      Dead: byTime(dead, "job.failed_at")
    },
    /**
     * The numbers of jobs: exact up to a limit, above it estimated from a random part of the table, which is read only then. And the
     * time, in milliseconds, since when the oldest waits.
     */
    depth: `WITH sample AS MATERIALIZED (
        SELECT ${each((name, condition) => `round(count(*) FILTER (WHERE ${condition}) * 100 / ${percent}) AS ${name}`)}
        FROM ${table} TABLESAMPLE SYSTEM (${percent}) WHERE queue = $1),
      counted AS MATERIALIZED (
        SELECT ${each((name, condition) => `(${firstOnes(condition)}) AS ${name}`)})
      SELECT ${
      each((name) =>
        `(CASE WHEN ${name} <= ${mostCounted} THEN ${name}
          ELSE greatest(${name}, (SELECT sample.${name} FROM sample)) END)::float8 AS ${name}`
      )
    },
        (SELECT (extract(epoch FROM min(due_at)) * 1000)::float8
          FROM ${inEachPriority(table, waiting, "due_at", "1")}) AS oldest
      FROM counted`
  }
}

/** See `listStatementsOf`. */
export type ListStatements = ReturnType<typeof listStatementsOf>
