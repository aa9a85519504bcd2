import { Duration } from "effect"
import type { Timeouts } from "../../../core/Drain.js"
import { defaultDaemonTimeout } from "../../../core/internal/daemons.js"
import { countOption, durationOption } from "../../../core/internal/options.js"
import { handlerTasks } from "./handlers.js"
import type { ListenOptions } from "./listener.js"
import type { ServerConfig } from "./server.js"

/**
 * How a server waits, when it drains and while it starts. Each wait also ends when the budget of the shutdown does.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainOptions extends Timeouts {
  /** The name in the report. `"http"` by default. */
  readonly name?: string | undefined
  /**
   * How long an idle connection, or a WebSocket without a message in flight, stays open in a drain. 200 milliseconds by
   * default: a request that is already on its way gets a response with `Connection: close`. Closing the connection at once
   * would reset it.
   */
  readonly idleLinger?: Duration.DurationInput | undefined
  /**
   * How long a drain waits for the rest of a request whose head is incomplete, or whose body makes no progress; then the
   * client gets a 408. 2 seconds by default, because Node's own timeouts, which are enforced too, are minutes.
   */
  readonly stallTimeout?: Duration.DurationInput | undefined
  /**
   * How long WebSockets, and responses that are streams without a declared length, may continue in a drain; then their
   * handlers are interrupted, and responses that are half sent are reset. 5 seconds by default. When the drain begins,
   * `Shutdown.draining` completes, event streams end, and WebSockets are closed with 1001 once no message is in flight,
   * after `idleLinger` if none was, or after `streamTimeout` if that is shorter. Those whose handler waits for
   * `Shutdown.draining` are left to it. A stream whose client reads slowly may continue until `drainTimeout`, and so may a
   * message of a WebSocket that has had no reply.
   */
  readonly streamTimeout?: Duration.DurationInput | undefined
  /**
   * How long fibers that handlers left behind with `Effect.forkDaemon` may continue, once no request is in flight; then
   * they are interrupted. 5 seconds by default, because fire-and-forget work is short. For a fiber that runs already when
   * the shutdown is requested, the time counts from the request.
   */
  readonly daemonTimeout?: Duration.DurationInput | undefined
  /**
   * How long a request is held that arrives before an app is served; then it gets a 503. 10 seconds by default, less
   * than most proxies wait.
   */
  readonly startTimeout?: Duration.DurationInput | undefined
  /**
   * How many requests are held at a time before an app is served; more get a 503. 1,000 by default, to bound the memory
   * of a slow start.
   */
  readonly maxHeld?: number | undefined
  /**
   * The paths of the probes, `/livez` and `/readyz` by default. The lifecycle responds before the service is `Running`,
   * from the moment the server listens, and after. While it is `Running`, a 2xx or 5xx of the app holds; where the app has
   * no route for a probe, or responds with a 3xx or 4xx, the lifecycle responds. `false` leaves a probe, or both, to the
   * app in every state.
   */
  readonly probes?:
    | false
    | { readonly livez?: string | false | undefined; readonly readyz?: string | false | undefined }
    | undefined
  /**
   * Whether `readyz` stays 200 in lame duck and in the drain, where its body says the state. `false` by default: a load
   * balancer should send requests elsewhere. For platforms that raise an alarm on a 503, and route by other means.
   */
  readonly readyWhileDraining?: boolean | undefined
}

/**
 * How the drain of a Node server waits whose requests other code handles.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeServerDrainOptions
  extends Pick<DrainOptions, "name" | "idleLinger" | "stallTimeout" | "streamTimeout" | keyof Timeouts>
{}

/**
 * Where to listen, and how to wait.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ListenOptions, DrainOptions {}

/**
 * The defaults of `Options`. Each has its reason where the option is documented.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  name: "http",
  idleLinger: Duration.millis(200),
  stallTimeout: Duration.seconds(2),
  streamTimeout: Duration.seconds(5),
  daemonTimeout: defaultDaemonTimeout,
  startTimeout: Duration.seconds(10),
  maxHeld: 1000,
  probes: { livez: "/livez", readyz: "/readyz" },
  readyWhileDraining: false
}

/** The options of a drain with their defaults, each checked. */
export const drainConfig = ({
  drainTimeout,
  idleLinger = defaults.idleLinger,
  name = defaults.name,
  releaseTimeout,
  stallTimeout = defaults.stallTimeout,
  streamTimeout = defaults.streamTimeout
}: NodeServerDrainOptions) => ({
  name,
  timeouts: { drainTimeout, releaseTimeout },
  connectionTimeouts: {
    idleLinger: Duration.toMillis(durationOption(name, "idleLinger", idleLinger)),
    stallTimeout: Duration.toMillis(durationOption(name, "stallTimeout", stallTimeout, { unlimited: true })),
    streamTimeout: Duration.toMillis(durationOption(name, "streamTimeout", streamTimeout, { unlimited: true }))
  }
})

/** The options with their defaults, each checked. */
export const serverConfig = (options: Options): ServerConfig => {
  const {
    daemonTimeout = defaults.daemonTimeout,
    drainTimeout,
    idleLinger,
    maxHeld = defaults.maxHeld,
    name = defaults.name,
    probes = defaults.probes,
    readyWhileDraining = defaults.readyWhileDraining,
    releaseTimeout,
    stallTimeout,
    startTimeout = defaults.startTimeout,
    streamTimeout,
    ...listen
  } = options
  return {
    ...drainConfig({ drainTimeout, idleLinger, name, releaseTimeout, stallTimeout, streamTimeout }),
    listen,
    maxHeld: countOption(name, "maxHeld", maxHeld, { least: 0, unlimited: true }),
    daemonTimeout: durationOption(name, "daemonTimeout", daemonTimeout),
    services: handlerTasks({ name: `${name} tasks`, drainTimeout, releaseTimeout }),
    startTimeout: durationOption(name, "startTimeout", startTimeout),
    readyWhileDraining,
    probes: probes === false
      ? { livez: false, readyz: false }
      : { livez: probes.livez ?? defaults.probes.livez, readyz: probes.readyz ?? defaults.probes.readyz }
  }
}
