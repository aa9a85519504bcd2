import type { Redis } from "ioredis"

/**
 * The few steps that BullMQ has no operation for, each atomic. Keys and fields are BullMQ's: a job's hash `prefix:queue:id`
 * with `progress` (the last checkpoint) and `stc` (how often its process died), its lock `prefix:queue:id:lock`, the list
 * `active`, the set `stalled` of those that had no lock when last looked at, and the sorted set `failed`.
 */
export interface Scripts {
  /**
   * Renews leases, and gives the places in `leases` of those that are gone. A lock that has expired while nobody could
   * renew it (the server was away) is taken again, unless somebody else was given the job, or is about to be.
   */
  readonly renew: (leases: ReadonlyArray<Lease>, millis: number) => Promise<ReadonlyArray<number>>
  /** Writes the progress of a job that is leased. */
  readonly progress: (lease: Lease, progress: string) => Promise<boolean>
  /** Clears what a dead letter's earlier life has left, so that it has all its attempts when it is retried. */
  readonly forgive: (id: string, fromStart: boolean) => Promise<boolean>
  readonly discard: (id: string) => Promise<boolean>
}

/** A job, in BullMQ's terms, and the token of its lock. */
export interface Lease {
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

const progress = `
if redis.call('GET', KEYS[1] .. ':lock') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'progress', ARGV[2])
return 1`

const forgive = `
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('HDEL', KEYS[2], 'stc')
if ARGV[2] == '1' then redis.call('HDEL', KEYS[2], 'progress') end
return 1`

const discard = `
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('DEL', KEYS[2], KEYS[2] .. ':logs')
return 1`

/** For one queue, whose keys are `toKey("active")` and so on. */
export const scriptsOf = (redis: Redis, toKey: (type: string) => string): Scripts => {
  const yes = async (reply: Promise<unknown>) => (await reply) === 1
  return {
    renew: async (leases, millis) => {
      const args = leases.flatMap(({ id, token }) => [id, token])
      return await redis.eval(renew, 3, toKey("active"), toKey("stalled"), toKey(""), millis, ...args) as Array<number>
    },
    progress: ({ id, token }, value) => yes(redis.eval(progress, 1, toKey(id), token, value)),
    forgive: (id, fromStart) => yes(redis.eval(forgive, 2, toKey("failed"), toKey(id), id, fromStart ? 1 : 0)),
    discard: (id) => yes(redis.eval(discard, 2, toKey("failed"), toKey(id), id))
  }
}
