// A vitest sequencer: what takes longest begins first, or it would be the last to run, alone on one core.
import { BaseSequencer } from "vitest/node"

/** Real processes, then what is tried at every point or very often; the longest first. */
const slow = [
  "test/edge/crash.test.ts",
  "test/layers/jobs/WorkerPoolInterruption.test.ts",
  "test/edge/",
  "test/programs/",
  "test/layers/http/HttpServerLeaks.test.ts",
  "test/laws/",
  "test/chaos/",
  "test/layers/database/",
  "test/layers/jobs/"
]

const rank = ({ moduleId }) => {
  const at = slow.findIndex((part) => moduleId.includes(part))
  return at === -1 ? slow.length : at
}

export default class extends BaseSequencer {
  async sort(files) {
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
