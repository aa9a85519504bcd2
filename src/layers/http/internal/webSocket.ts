import type { HttpServerRequest } from "@effect/platform"
import * as Socket from "@effect/platform/Socket"
import { Effect } from "effect"
import type { Upgrade } from "./http1.js"

/** Closes with 1001 when the server drains; whoever runs it sees that close as an end, not as an error. */
const leaving = (socket: Socket.Socket, upgrade: Upgrade): Socket.Socket => {
  const goodbye = Effect.zipRight(
    upgrade.goodbye.await,
    Effect.flatMap(socket.writer, (write) => write(new Socket.CloseEvent(1001)))
  )
  const said = (error: unknown): error is Socket.SocketCloseError =>
    upgrade.saidGoodbye && Socket.SocketCloseError.is(error) && error.code === 1001
  const until = <E, R>(run: Effect.Effect<void, E, R>): Effect.Effect<void, E, R> =>
    Effect.scoped(Effect.zipRight(Effect.forkScoped(Effect.interruptible(goodbye)), run)).pipe(
      Effect.catchIf(said, () => Effect.void)
    )
  return {
    ...socket,
    run: (handler, options) => until(socket.run(handler, options)),
    runRaw: (handler, options) => until(socket.runRaw(handler, options))
  }
}

/** From now on the WebSocket of this request, and of what is made of it, is told when the server drains. */
export const tell = (request: HttpServerRequest.HttpServerRequest, upgrade: Upgrade): void => {
  const opened = Effect.map(request.upgrade, (socket) => leaving(socket, upgrade))
  const modify = request.modify.bind(request)
  Object.defineProperties(request, {
    upgrade: { value: opened },
    modify: {
      value: (options: Parameters<typeof modify>[0]) => {
        const modified = modify(options)
        tell(modified, upgrade)
        return modified
      }
    }
  })
}
