import type { Child } from "../kit/child.js"
import { runFixture } from "../kit/programs.js"

/** The service of test/fixtures/traffic, running. */
export interface TrafficService {
  readonly child: Child
  readonly port: number
  /** How many connections the service has accepted, once its process has ended. */
  readonly accepted: () => number
}

export const startService = async (env: Record<string, string> = {}): Promise<TrafficService> => {
  const child = runFixture("traffic/service.ts", env)
  const [, port] = await child.waitFor(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  await child.waitFor(/running; stops within/)
  return { child, port: Number(port), accepted: () => Number(/accepted (\d+)/.exec(child.output)![1]) }
}
