import type { Redis } from "ioredis"

/**
 * The operations that BullMQ lacks, each atomic. Keys and fields are BullMQ's: the hash of a job `prefix:queue:id` with
 * `progress` (the last checkpoint) and `stc` (how often its process died), its lock `prefix:queue:id:lock`, the list
 * `active`, the set `stalled` of jobs without a lock at the last look, and the sorted set `failed`.
 */
export interface Scripts {
  /**
   * Renews leases, and returns the indexes of those that are lost. A lock that expired because no process could renew it
   * (the server was away) is taken again, unless the job was made available or given to another claim.
   */
  readonly renew: (leases: ReadonlyArray<Lease>, millis: number) => Promise<ReadonlyArray<number>>
  /** Stores the progress of a job, if the lease holds. */
  readonly setProgress: (lease: Lease, progress: string) => Promise<boolean>
  /** Resets the deaths that count as attempts of a dead letter, and its progress if it is to run from the start. */
  readonly resetAttempts: (id: string, fromStart: boolean) => Promise<boolean>
  readonly discard: (id: string) => Promise<boolean>
  /** Ends a lease whose job is an orphan, and puts the job into the list of orphans, where only `takeOrphan` finds it. */
  readonly setAside: (lease: Lease) => Promise<boolean>
  /** Makes the oldest of the orphans the job that is claimed next. */
  readonly takeOrphan: () => Promise<unknown>
  /**
   * Removes a job that waits or runs, and returns the token of its lock: empty when it waits, or its lock has expired. None when there
   * is no such job.
   */
  readonly cancel: (id: string) => Promise<string | undefined>
  /** The number of orphans that were set aside. */
  readonly countOrphans: () => Promise<number>
  /**
   * Removes acknowledged jobs whose ids were kept long enough: of these ids, or without ids of those acknowledged first.
   * Returns their number.
   */
  readonly forget: (now: number, ids?: ReadonlyArray<string>) => Promise<number>
}

const cancel = `
local id = ARGV[1]
local job = KEYS[3] .. id
local token = redis.call('GET', job .. ':lock') or ''
local removed = redis.call('LREM', KEYS[1], 1, id)
for i = 4, 6 do
  if removed == 0 then removed = redis.call('LREM', KEYS[i], 1, id) end
end
for i = 7, 8 do
  if removed == 0 then removed = redis.call('ZREM', KEYS[i], id) end
end
if removed == 0 then return nil end
redis.call('SREM', KEYS[2], id)
redis.call('DEL', job, job .. ':lock', job .. ':logs')
return token`

/** The key of the list of orphans that are not claimed yet. No id of a job has a colon. */
export const orphans = "lastcall:orphans"

/** How many ids one script forgets, so that it does not hold up the server. */
export const mostForgotten = 200

/** The encoded id of a job, and the token of its lock. */
interface Lease {
  readonly id: string
  readonly token: string
}

const renew = `
local lost = {}
for i = 2, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local lock = KEYS[3] .. id .. ':lock'
  local holder = redis.call('GET', lock)
  if holder == token or (not holder and redis.call('LPOS', KEYS[1], id)) then
    redis.call('SET', lock, token, 'PX', ARGV[1])
    redis.call('SREM', KEYS[2], id)
  else
    table.insert(lost, i / 2 - 1)
  end
end
return lost`

/** The command that renews leases, without the id and the token of each, which come last. */
export const renewal = (toKey: (type: string) => string, millis: number): [string, ...Array<string>] => [
  "EVAL",
  renew,
  "3",
  toKey("active"),
  toKey("stalled"),
  toKey(""),
  String(millis)
]

const setProgress = `
if redis.call('GET', KEYS[1] .. ':lock') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'progress', ARGV[2])
return 1`

const resetAttempts = `
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('HDEL', KEYS[2], 'stc')
if ARGV[2] == '1' then redis.call('HDEL', KEYS[2], 'progress') end
return 1`

const discard = `
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('DEL', KEYS[2], KEYS[2] .. ':logs')
return 1`

const setAside = `
if redis.call('GET', KEYS[1] .. ':lock') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1] .. ':lock')
redis.call('SREM', KEYS[3], ARGV[1])
if redis.call('LREM', KEYS[2], 1, ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[4], ARGV[1])
return 1`

/** Jobs of the set `completed` that other programs have acknowledged have no such option, and stay. */
const forget = `
local ids = { unpack(ARGV, 3) }
if #ids == 0 then ids = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1) end
local forgotten = 0
for _, id in ipairs(ids) do
  local job = KEYS[2] .. id
  local fields = redis.call('HMGET', job, 'finishedOn', 'opts')
  local read, opts = pcall(cjson.decode, fields[2] or '')
  local keepIdFor = read and type(opts) == 'table' and tonumber(opts.keepIdFor)
  local uniqueUntil = keepIdFor and tonumber(opts.uniqueUntil) or 0
  if fields[1] and keepIdFor and math.max(fields[1] + keepIdFor, uniqueUntil) <= tonumber(ARGV[1])
    and redis.call('ZREM', KEYS[1], id) == 1 then
    redis.call('DEL', job, job .. ':logs')
    forgotten = forgotten + 1
  end
end
return forgotten`

/** The scripts of one queue, whose keys are `toKey("active")` and so on. */
export const scriptsOf = (redis: Redis, toKey: (type: string) => string): Scripts => {
  const isOne = async (reply: Promise<unknown>) => (await reply) === 1
  return {
    renew: async (leases, millis) => {
      const args = leases.flatMap(({ id, token }) => [id, token])
      return await redis.call(...renewal(toKey, millis), ...args) as Array<number>
    },
    setProgress: ({ id, token }, value) => isOne(redis.eval(setProgress, 1, toKey(id), token, value)),
    resetAttempts: (id, fromStart) =>
      isOne(redis.eval(resetAttempts, 2, toKey("failed"), toKey(id), id, fromStart ? 1 : 0)),
    discard: (id) => isOne(redis.eval(discard, 2, toKey("failed"), toKey(id), id)),
    setAside: ({ id, token }) =>
      isOne(redis.eval(setAside, 4, toKey(id), toKey("active"), toKey("stalled"), toKey(orphans), id, token)),
    takeOrphan: () => redis.lmove(toKey(orphans), toKey("wait"), "LEFT", "RIGHT"),
    cancel: async (id) => {
      const lists = ["wait", "paused", orphans].map(toKey)
      const keys = [toKey("active"), toKey("stalled"), toKey(""), ...lists, toKey("delayed"), toKey("prioritized")]
      return await redis.eval(cancel, keys.length, ...keys, id) as string | null ?? undefined
    },
    countOrphans: () => redis.llen(toKey(orphans)),
    forget: async (now, ids = []) =>
      await redis.eval(forget, 2, toKey("completed"), toKey(""), now, mostForgotten, ...ids) as number
  }
}
