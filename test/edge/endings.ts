import { assert } from "vitest"
import type { ServiceProcess } from "../kit/service.js"

/** It ends by itself with 1, and all that it says, once it listens, is why. */
export const refused = async (service: ServiceProcess, why: RegExp) => {
  assert.deepStrictEqual(await service.ended, { code: 1, signal: null }, service.output)
  const [line, ...more] = service.lines.filter((line) => !line.includes("listening on"))
  assert.match(line ?? "nothing", /level=ERROR .*cannot start: /)
  assert.match(line!.replaceAll("\\\"", "\""), why)
  assert.deepStrictEqual(more, [])
}
