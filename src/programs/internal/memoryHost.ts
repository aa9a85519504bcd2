import { Effect, type Fiber, Option } from "effect"
import { Host, type Service } from "../../core/Host.js"
import { Launches } from "./launches.js"

/**
 * Runs a service on a host without a process, apart from other launches. Its main fiber is the one that runs it; members
 * that are left out do nothing.
 */
export const onMemoryHost = (host: Pick<Service, "listen" | "exit"> & Partial<Service>) =>
<A, E, R>(
  service: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  service.pipe(
    Effect.provideService(Host, {
      endWithin: () => Effect.void,
      main: Effect.withFiberRuntime<Fiber.RuntimeFiber<unknown, unknown>>((fiber) => Effect.succeed(fiber)),
      holdExit: () => Effect.void,
      terminal: Option.none(),
      writeFile: () => Effect.void,
      environmentWarnings: () => Effect.succeed([]),
      ...host
    }),
    Effect.provideServiceEffect(Launches, Launches.make)
  )
