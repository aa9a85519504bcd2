/**
 * Creates the files of an embedded database on a thread. `PGlite.create` does it on the thread of its caller: for seconds no signal, timer or
 * probe would be answered, and no interruption would end it.
 */
import type { PGlite } from "@electric-sql/pglite"
import { Effect, Option, Predicate } from "effect"
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"
import { processes } from "../../../core/Host.js"

/** Errors of the file system have a number and no message in PGlite: those of WASI. */
const fileErrors: Readonly<Record<number, string>> = {
  2: "permission denied",
  19: "the disk quota is exceeded",
  29: "input/output error",
  33: "too many open files",
  51: "no space left on the device",
  63: "operation not permitted",
  69: "the file system is read-only"
}

/** What an error of PGlite says. */
export const pgliteMessage = (error: unknown): string => {
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string") return error.message
  if (!Predicate.hasProperty(error, "errno") || typeof error.errno !== "number") return String(error)
  return fileErrors[error.errno] ?? `error ${error.errno} of the file system`
}

/** Runs on a thread of its own, as text, so that it needs no file beside the bundle. */
const program = `
const { parentPort, workerData: { dataDir, dump, module } } = require("node:worker_threads")
const create = async () => {
  const db = await require(module).PGlite.create({ dataDir })
  const files = dump ? await (await db.dumpDataDir("none")).arrayBuffer() : undefined
  await db.close()
  return { files }
}
create().then(
  (created) => parentPort.postMessage(created),
  (error) => parentPort.postMessage({ error: { errno: error?.errno, message: error?.message } })
)
`

/** The file of PGlite, as the entry of this process finds it; none in a bundle that contains PGlite. */
const pgliteModule = Effect.option(Effect.try(() => {
  const entry = processes.entry()
  if (entry === undefined) throw new Error("Node was started without a file")
  return createRequire(entry).resolve("@electric-sql/pglite")
}))

type Created = { readonly files: ArrayBuffer | undefined } | { readonly error: unknown }

const onThread = (module: string, dataDir: string, dump: boolean) =>
  Effect.try(() => new Worker(program, { eval: true, env: {}, execArgv: [], workerData: { dataDir, dump, module } }))
    .pipe(Effect.map((worker) =>
      Effect.async<ArrayBuffer | undefined, { readonly cause: unknown }>((resume) => {
        const fail = (cause: unknown) => resume(Effect.fail({ cause }))
        worker.once("message", (created: Created) => {
          if ("error" in created) fail(created.error)
          else resume(Effect.succeed(created.files))
        })
        worker.once("error", fail)
        worker.once("exit", () => fail(new Error("its thread has ended")))
      }).pipe(Effect.ensuring(Effect.promise(() => worker.terminate())))
    ))

/** On the thread of the event loop: blocks it. */
const here = (pglite: typeof PGlite, dataDir: string) =>
  Effect.tryPromise({
    try: async () => {
      await (await pglite.create({ dataDir })).close()
      return undefined
    },
    catch: (cause) => ({ cause })
  })

/**
 * Creates the files of a database in `folder`, or in memory, and returns those then. Interruptible: its thread ends. Where no thread can be
 * had, or none finds PGlite, a folder is made on the thread of the event loop, and memory is left to the caller: it returns none.
 */
export const createCluster = (
  pglite: typeof PGlite,
  folder: string | undefined
): Effect.Effect<Option.Option<Blob>, { readonly cause: unknown }> =>
  Effect.gen(function*() {
    const dataDir = folder ?? "memory://"
    const thread = yield* Effect.option(
      Effect.flatMap(pgliteModule, (module) =>
        Effect.flatMap(module, (path) => onThread(path, dataDir, folder === undefined)))
    )
    if (Option.isNone(thread)) {
      yield* Effect.logWarning(
        "the database is created on the thread of the event loop, which holds up signals: " +
          "the entry of this process does not find @electric-sql/pglite, or may start no thread"
      )
    }
    const files = yield* Option.getOrElse(thread, () =>
      folder === undefined ? Effect.succeed(undefined) : here(pglite, folder))
    return Option.map(Option.fromNullable(files), (buffer) =>
      new Blob([buffer]))
  })
