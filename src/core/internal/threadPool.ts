import { readdirSync, readFileSync } from "node:fs"

/** The requests in `process.getActiveResourcesInfo` that libuv's thread pool runs. */
const requests = [["file system", /^FSReq/], ["DNS", /^Get(Addr|Name)InfoReq/]] as const

interface Thread {
  readonly id: string
  readonly name: string
  /** Whether it runs, or waits for a page of memory or a disk. */
  readonly running: boolean
  /** How long it ran so far, in nanoseconds; empty where the kernel does not count. */
  readonly ran: string
}

const readText = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // The thread has ended, or there is no such file.
    return ""
  }
}

const threadIds = (): ReadonlyArray<string> => {
  try {
    return readdirSync("/proc/self/task")
  } catch {
    return []
  }
}

/** The threads of this process but the main one; none where there is no /proc. */
const otherThreads = (pid: number): ReadonlyArray<Thread> =>
  threadIds().filter((id) => Number(id) !== pid).flatMap((id) => {
    const stat = readText(`/proc/self/task/${id}/stat`)
    const end = stat.lastIndexOf(")")
    if (end < 0) return []
    const [ran = ""] = readText(`/proc/self/task/${id}/schedstat`).split(" ")
    return [{ id, name: stat.slice(stat.indexOf("(") + 1, end), running: "RD".includes(stat[end + 2]!), ran }]
  })

/**
 * Looks for what libuv's thread pool works on; undefined when it is idle. File system and DNS requests are listed by Node. Jobs
 * of crypto and zlib are not: on Linux they are threads that compute. A thread that computes is at times shown as one that
 * sleeps, so threads count that have run since the last look. Before Node 22.14 threads have no names, and as many of them as
 * there are Workers may compute without being counted.
 */
export const makeThreadPoolLooks = () => {
  let before = new Map<string, string>()
  return (process: {
    readonly pid: number
    readonly resources: ReadonlyArray<string>
    readonly workers: number
  }): string | undefined => {
    const listed = requests.filter(([, pattern]) => process.resources.some((name) => pattern.test(name)))
    const threads = otherThreads(process.pid)
    const computing = ({ id, ran, running }: Thread) => running || (before.get(id) ?? ran) !== ran
    const named = threads.filter(({ name }) => name === "libuv-worker")
    const busy = named.length > 0
      ? named.some(computing)
      : threads.filter(computing).length > process.workers
    before = new Map(threads.map(({ id, ran }) => [id, ran]))
    const found = [...listed.map(([name]) => name), ...(busy ? ["crypto or zlib"] : [])]
    return found.length === 0 ? undefined : found.join(", ")
  }
}
