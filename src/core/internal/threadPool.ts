import { readdirSync, readFileSync } from "node:fs"

/** The requests in `process.getActiveResourcesInfo` that libuv's thread pool runs. */
const requests = [["file system", /^FSReq/], ["DNS", /^Get(Addr|Name)InfoReq/]] as const

interface Thread {
  readonly name: string
  readonly running: boolean
}

/** The threads of this process but the main one; none where there is no /proc. */
const otherThreads = (pid: number): ReadonlyArray<Thread> => {
  try {
    return readdirSync("/proc/self/task").filter((id) => Number(id) !== pid).map((id) => {
      const stat = readFileSync(`/proc/self/task/${id}/stat`, "utf8")
      const end = stat.lastIndexOf(")")
      return { name: stat.slice(stat.indexOf("(") + 1, end), running: stat[end + 2] === "R" }
    })
  } catch {
    return []
  }
}

/**
 * What libuv's thread pool works on; undefined when it is idle. File system and DNS requests are listed by Node. Jobs of
 * crypto and zlib are not: on Linux they are threads that compute. Before Node 22.14 threads have no names, and as many of
 * them as there are Workers may compute without being counted.
 */
export const busyThreadPool = (process: {
  readonly pid: number
  readonly resources: ReadonlyArray<string>
  readonly workers: number
}): string | undefined => {
  const listed = requests.filter(([, pattern]) => process.resources.some((name) => pattern.test(name)))
  const threads = otherThreads(process.pid)
  const named = threads.filter(({ name }) => name === "libuv-worker")
  const computing = named.length > 0
    ? named.some(({ running }) => running)
    : threads.filter(({ running }) => running).length > process.workers
  const found = [...listed.map(([name]) => name), ...(computing ? ["crypto or zlib"] : [])]
  return found.length === 0 ? undefined : found.join(", ")
}
