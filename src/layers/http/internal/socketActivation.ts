import { Config, ConfigProvider, Effect, Option } from "effect"
import { processes } from "../../../core/Host.js"
import { errorMessage } from "../../../core/internal/errorMessage.js"
import { ListenError, type ListenOptions } from "./listener.js"

/** The first file descriptor that systemd passes: `SD_LISTEN_FDS_START` of sd_listen_fds(3). */
const firstFd = 3

const environment = Config.all({
  count: Config.integer("LISTEN_FDS"),
  pid: Config.integer("LISTEN_PID"),
  names: Config.withDefault(Config.string("LISTEN_FDNAMES"), "")
})

/** The options with the socket that systemd passed to this process, if they ask for it and there is one. */
export const activated = (
  { socketActivation = false, ...options }: ListenOptions
): Effect.Effect<ListenOptions, ListenError> =>
  Effect.gen(function*() {
    if (socketActivation === false) return options
    const refuse = (problem: string) => Effect.fail(new ListenError("the socket of systemd", undefined, problem))
    // From the environment of the process: systemd talks to the process, not to a configuration of the app.
    const passed = yield* Effect.withConfigProvider(Config.option(environment), ConfigProvider.fromEnv()).pipe(
      Effect.catchAll((error) => refuse(errorMessage(error)))
    )
    if (Option.isNone(passed) || passed.value.count === 0) return options
    const { count, names, pid } = passed.value
    if (pid !== processes.pid()) {
      yield* Effect.logWarning(
        `systemd passed its sockets to process ${pid}, this is process ${processes.pid()}: let systemd start node itself`
      )
      return options
    }
    const named = typeof socketActivation === "string"
    const index = named ? names.split(":").indexOf(socketActivation) : 0
    const listed = `(LISTEN_FDS=${count}, LISTEN_FDNAMES=${names})`
    if (index < 0 || index >= count) return yield* refuse(`none has the name "${socketActivation}" ${listed}`)
    if (!named && count > 1) {
      return yield* refuse(`there are ${count}. Choose one by its name: socketActivation: "name" ${listed}`)
    }
    return { fd: firstFd + index, backlog: options.backlog }
  })
