import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import { Context, Effect, Exit, Option } from "effect"
import type * as Http from "node:http"

/**
 * The body of a request as text, read once for all that ask for it. `Effect.cached` over `NodeStream.toString`, as the
 * platform has it, with a part of its steps.
 */
export const readText = <E>(source: Http.IncomingMessage, onError: (cause: unknown) => E): Effect.Effect<string, E> => {
  let result: Exit.Exit<string, E> | undefined
  let waiting: Array<(exit: Exit.Exit<string, E>) => void> | undefined

  const complete = (exit: Exit.Exit<string, E>) => {
    if (result !== undefined) return
    result = exit
    if (!source.readableEnded) source.destroy()
    waiting?.forEach((resume) => resume(exit))
    waiting = []
  }
  const read = (maxBytes: number) => {
    const chunks: Array<Buffer> = []
    let bytes = 0
    source.once("error", (cause) => complete(Exit.fail(onError(cause))))
    source.once("end", () => {
      complete(Exit.succeed((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)).toString()))
    })
    source.on("data", (chunk: Buffer | string) => {
      const buffer = typeof chunk === "string" ? Buffer.from(chunk) : chunk
      chunks.push(buffer)
      bytes += buffer.length
      if (bytes > maxBytes) complete(Exit.fail(onError(new Error("maxBytes exceeded"))))
    })
  }

  return Effect.withFiberRuntime((fiber) => {
    if (result !== undefined) return result
    return Effect.async((resume) => {
      if (waiting !== undefined) {
        waiting.push(resume)
        return
      }
      waiting = [resume]
      const limit = Context.get(fiber.currentContext, HttpIncomingMessage.MaxBodySize)
      // Zero is no limit, as for the platform.
      read(Option.match(limit, { onNone: () => Infinity, onSome: (size) => Number(size) || Infinity }))
      return Effect.sync(() => complete(Exit.interrupt(fiber.id())))
    })
  })
}
