import { type Child, runFixture } from "../kit/child.js"

/** What the service has noticed when it has ended. */
export interface Noticed {
  /** Connections that it was given by the kernel. */
  readonly accepted: number
  /** The longest time in milliseconds that its event loop stood still, since it was told to watch. */
  readonly blocked: number
}

/** The service of test/fixtures/traffic, ready. */
export interface TrafficService {
  readonly child: Child
  readonly port: number
  /** Completes with the moment of its end, as `performance.now()`. */
  readonly exited: Promise<number>
  readonly noticed: () => Noticed
}

export const startService = async (env: Record<string, string> = {}): Promise<TrafficService> => {
  const child = runFixture("traffic/service.ts", env)
  const exited = new Promise<number>((resolve) => child.process.once("exit", () => resolve(performance.now())))
  const [, port] = await child.said(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  await child.said(/running; stops within/)
  return {
    child,
    port: Number(port),
    exited,
    noticed: () => JSON.parse(/noticed (.*)/.exec(child.output)![1]!) as Noticed
  }
}
