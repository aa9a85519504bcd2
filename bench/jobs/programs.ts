/** Starts the programs under test, each as a process of its own over a throwaway server. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { throwaway } from "../../test/kit/postgresServer.js"
import { ThrowawayRedis } from "../../test/kit/redisServer.js"

const postgresServer = throwaway()
if (typeof postgresServer === "string") throw new Error(postgresServer)
export const postgres: Exclude<ReturnType<typeof throwaway>, string> = postgresServer
export const redis = new ThrowawayRedis()

/** The name in the tables, the file of its program, the URL of its server, and more of its environment. */
export type Peer = readonly [name: string, file: string, url: string, env?: NodeJS.ProcessEnv]

export interface Program {
  readonly child: ChildProcess
  /** The numbers of the first line that begins with this word, printed before or after the call; undefined after `within`. */
  readonly parseOutput: (word: string, within?: number) => Promise<ReadonlyArray<number> | undefined>
  /** The numbers of the last line so far that begins with this word. */
  readonly latest: (word: string) => ReadonlyArray<number> | undefined
}

export const start = ([, file, url, own]: Peer, env: NodeJS.ProcessEnv): Program => {
  const program = fileURLToPath(new URL(`./peers/${file}.ts`, import.meta.url))
  const child = spawn(process.execPath, ["--import", "tsx", program], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env, ...own, URL: url }
  })
  let output = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk))
  const lines = (word: string) =>
    output.split("\n").slice(0, -1).map((line) => line.split(" ")).filter(([first]) => first === word)
  const numbers = (line: ReadonlyArray<string> | undefined) => line?.slice(1).map(Number)
  return {
    child,
    latest: (word) => numbers(lines(word).at(-1)),
    parseOutput: (word, within = 60_000) =>
      new Promise((resolve) => {
        const deadline = setTimeout(() => done(undefined), within)
        const look = () => {
          const [line] = lines(word)
          if (line !== undefined) done(numbers(line))
        }
        const done = (words: ReadonlyArray<number> | undefined) => {
          clearTimeout(deadline)
          child.stdout.off("data", look)
          resolve(words)
        }
        child.stdout.on("data", look)
        look()
      })
  }
}

let names = 0
/** A new name of a queue. */
export const queueName = () => `bench_${process.pid}_${names++}`
