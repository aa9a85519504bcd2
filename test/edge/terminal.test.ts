// Terminals that differ: in what they can, and in what the environment asks for.
import { afterAll, assert, it } from "vitest"
import { bundle } from "../kit/programs.js"
import { describeTerminal, Pty } from "../kit/pty.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"

const open: Array<Pty> = []
const run = (program: string, env: Record<string, string>) => {
  const pty = new Pty(`${process.execPath} ${program}`, env, temporaryFolder())
  open.push(pty)
  return pty
}
afterAll(() => Promise.all(open.map((pty) => pty.close())))

const movesTheCursor = /\x1b\[\d*[A-HJKf]/
const setsColors = /\x1b\[[\d;]+m/

/** The output of a service that is ended by Ctrl+C. */
const outputOf = async (env: Record<string, string>) => {
  const pty = run(bundle("test/fixtures/launch/end.ts"), { MODE: "clean", GRACE_PERIOD: "1 minute", ...env })
  await pty.waitFor(/running; stops within/)
  pty.interrupt()
  await pty.ended
  assert.match(pty.output, /SIGINT: stopped in [\d.]+m?s of 1m\r\n/)
  return pty.output
}

describeTerminal("on a terminal", () => {
  it("the shutdown is drawn", async () => {
    const output = await outputOf({})
    assert.match(output, movesTheCursor)
    assert.match(output, /SIGINT: draining, [\d.]+s left/)
  })

  for (const env of [{ TERM: "dumb" }, { CI: "true" }]) {
    it(`the shutdown is log lines and its report with ${JSON.stringify(env)}`, async () => {
      const output = await outputOf(env)
      assert.notMatch(output, movesTheCursor)
      assert.match(output, /shutdown requested: SIGINT[^]*Draining[^]*Stopped[^]*SIGINT: stopped in/)
    })
  }

  it("the importer's log has colours, unless the environment says no", async () => {
    const outputs = await Promise.all(
      [{}, { NO_COLOR: "1" }, { TERM: "dumb" }, { TERM: "dumb", FORCE_COLOR: "1" }].map(async (env) => {
        const pty = run(bundle("src/main.ts"), { PORT: "0", DATABASE_URL: "pglite:/dev/null/data", ...env })
        await pty.ended
        return pty.output
      })
    )
    for (const output of outputs) assert.match(output, /listening on [^]*cannot start/)
    assert.deepStrictEqual(outputs.map((output) => setsColors.test(output)), [true, false, false, true])
  })
})
