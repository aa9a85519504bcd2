// The end of the process, when something keeps it.
import { execFileSync, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import type { ShutdownReport } from "../../src/core/ShutdownReport.js"
import { cannot } from "../kit/cannot.js"
import { Child } from "../kit/child.js"
import { bundle } from "../kit/programs.js"
import { describeTerminal, Pty } from "../kit/pty.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"
import { poll } from "../kit/until.js"

const fixture = bundle("test/fixtures/launch/end.ts")
const children: Array<Child> = []
const run = (command: string, args: ReadonlyArray<string>, env: Record<string, string>) => {
  const child = new Child(command, args, { GRACE_PERIOD: "3s", ...env })
  children.push(child)
  return child
}
const start = (mode: string, env: Record<string, string> = {}) =>
  run(process.execPath, [fixture], { MODE: mode, ...env })
afterAll(() => Promise.all(children.splice(0).map((child) => child.end())))

/** The grace period of the fixture, the time until the kill, and what a busy machine adds: less than any of these would take. */
const deadline = 3000
const atTheLatest = deadline + 500 + 4000

/** Sends SIGTERM once the service runs. */
const endsAtItsDeadline = async (child: Child, pid = () => child.process.pid!) => {
  await child.waitFor(/running/)
  const from = performance.now()
  process.kill(pid(), "SIGTERM")
  const ended = await child.ended
  const elapsed = performance.now() - from
  assert.isAbove(elapsed, deadline)
  assert.isBelow(elapsed, atTheLatest)
  return ended
}

/** The same, for a process that is killed and writes one line that says why. */
const isKilledAtItsDeadline = async (child: Child, reason: RegExp, pid = () => child.process.pid!) => {
  const ended = await endsAtItsDeadline(child, pid)
  const lines = child.output.split("\n").filter((line) => line.startsWith("lastcall: "))
  assert.strictEqual(lines.length, 1, child.output)
  assert.match(lines[0]!, /^lastcall: kills the process at its deadline: /)
  assert.match(lines[0]!, reason)
  return ended
}

const blocked = /its event loop is blocked$/
const pool = (what: string) => new RegExp(`libuv's thread pool is busy \\(.*${what}.*\\)`)
const linux = process.platform === "linux"

describe.concurrent("a process that something keeps is killed at its deadline, with one line that says what:", () => {
  for (const mode of ["blockedFinalizer", "blockedNative"]) {
    it(`a blocked event loop (${mode})`, async () => {
      assert.deepStrictEqual(await isKilledAtItsDeadline(start(mode), blocked), { code: null, signal: "SIGKILL" })
    })
  }

  it.runIf(linux)("a report file that is a FIFO without a reader", async () => {
    const fifo = Path.join(temporaryFolder(), "report")
    execFileSync("mkfifo", [fifo])
    const child = start("clean", { SHUTDOWN_REPORT: fifo })
    assert.deepStrictEqual(await isKilledAtItsDeadline(child, pool("file system")), { code: null, signal: "SIGKILL" })
  })

  for (const mode of ["crypto", "zlib"]) {
    it.runIf(linux)(`a job of ${mode}`, async () => {
      const child = start(mode)
      assert.deepStrictEqual(await isKilledAtItsDeadline(child, pool("crypto or zlib")), {
        code: null,
        signal: "SIGKILL"
      })
    })
  }
})

it.runIf(linux)("a pipe on stderr that is full does not delay the kill", async () => {
  const script = `mkfifo "$2"; exec 3<>"$2"; dd if=/dev/zero bs=64k count=1 >&3 2>/dev/null; exec "$0" "$1" 2>&3`
  const fifo = Path.join(temporaryFolder(), "stderr")
  const child = run("sh", ["-c", script, process.execPath, fixture, fifo], { MODE: "blockedFinalizer" })
  assert.deepStrictEqual(await endsAtItsDeadline(child), { code: null, signal: "SIGKILL" })
})

describe.concurrent("the exit", () => {
  it("is immediate, with code 0, when nothing keeps the process", async () => {
    const child = start("clean", { GRACE_PERIOD: "1 minute" })
    await child.waitFor(/running/)
    const from = performance.now()
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.isBelow(performance.now() - from, 20_000)
    assert.notInclude(child.output, "lastcall: ")
  })

  it("waits for a job of the thread pool that ends before the deadline, and has the code of the report", async () => {
    const child = start("shortCrypto", { GRACE_PERIOD: "1 minute" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.match(child.output, /stopped[^]*hashed/)
  })

  it.runIf(linux)("is a kill a second after the third signal, when the thread pool is busy", async () => {
    const child = start("crypto", { GRACE_PERIOD: "1 minute" })
    await child.waitFor(/running/)
    child.kill("SIGTERM")
    await child.waitFor(/stopped/)
    // Two pending signals of one kind would arrive as one.
    child.kill("SIGTERM")
    child.kill("SIGINT")
    assert.deepStrictEqual(await child.ended, { code: null, signal: "SIGKILL" })
  })
})

const unshare = (flags: string, ...command: ReadonlyArray<string>) =>
  spawnSync("unshare", [flags, ...command]).status === 0

const inContainer = "process 1 of a container, which the kernel protects from its own SIGKILL,"
if (!linux || !unshare("-rpf", "true")) cannot(inContainer, "there is no `unshare` here that gives a PID namespace")
else {
  describe.concurrent(inContainer, () => {
    for (const [mode, reason] of [["blockedFinalizer", blocked], ["crypto", pool("crypto or zlib")]] as const) {
      it(`ends at its deadline by a breakpoint trap (${mode})`, async () => {
        const args = ["-rpf", "--kill-child", "--mount-proc", process.execPath, fixture]
        const child = run("unshare", args, { MODE: mode })
        const { pid } = child.process
        const inner = () => Number(Fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"))
        assert.deepStrictEqual(await isKilledAtItsDeadline(child, reason, inner), { code: null, signal: "SIGTRAP" })
      })
    }
  })
}

const dns = "a DNS lookup that gets no answer"
if (!linux || !unshare("-rmn", "ip", "link", "set", "lo", "up")) {
  cannot(dns, "there are no `unshare` and `ip` here that give a network namespace")
} else {
  it(`${dns} does not keep the process beyond its deadline`, async () => {
    const resolv = Path.join(temporaryFolder(), "resolv.conf")
    Fs.writeFileSync(resolv, "nameserver 127.0.0.1\n")
    const script = `ip link set lo up && mount --bind ${resolv} /etc/resolv.conf && exec "$0" "$1"`
    const child = run("unshare", ["-rmn", "sh", "-c", script, process.execPath, fixture], { MODE: "dns" })
    assert.deepStrictEqual(await isKilledAtItsDeadline(child, pool("DNS")), {
      code: null,
      signal: "SIGKILL"
    })
  })
}

/** The failure and the exit code in the report. */
const reported = (path: string) => {
  const { exitCode, failure } = JSON.parse(Fs.readFileSync(path, "utf8")) as typeof ShutdownReport.Encoded
  return { exitCode, failure }
}

describe.concurrent("output that nobody reads any more", () => {
  it("does not end the service: with stdout closed it serves, and drains cleanly at a signal", async () => {
    const report = Path.join(temporaryFolder(), "report.json")
    const child = start("chatty", { SHUTDOWN_REPORT: report })
    await child.waitFor(/running/)
    child.process.stdout!.destroy()
    const { length } = child.output
    // Each line stands for a line that was logged in vain.
    await child.waitForValue("50 more lines", () => child.output.slice(length).split("\n").length > 50 ? true : null)
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.deepStrictEqual(reported(report), { exitCode: 0, failure: undefined })
    assert.match(child.output.slice(length), /^(serving\n)+$/)
  })

  it("does not spoil a drain: with stdout and stderr closed it is clean", async () => {
    const report = Path.join(temporaryFolder(), "report.json")
    const child = start("chatty", { SHUTDOWN_REPORT: report })
    await child.waitFor(/running/)
    child.process.stdout!.destroy()
    child.process.stderr!.destroy()
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null })
    assert.deepStrictEqual(reported(report), { exitCode: 0, failure: undefined })
  })
})

describeTerminal("a terminal that is closed", () => {
  it("is a SIGHUP, and the drain is clean", async () => {
    const folder = temporaryFolder()
    // The shell leads the session: it passes the signal on, as an interactive shell does, and writes the exit code.
    const shell = "trap \"kill -HUP \\$!\" HUP; \"$0\" \"$1\" & wait $!; wait $!; echo $? > draft; mv draft code"
    const command = `sh -c '${shell}' ${process.execPath} ${fixture}`
    const terminal = new Pty(command, { MODE: "clean", GRACE_PERIOD: "20s", SHUTDOWN_REPORT: "report.json" }, folder)
    try {
      await terminal.shows(/running/)
      assert.isNotEmpty(terminal.processes())
      terminal.process.kill("SIGKILL")
      await poll("the process has ended", () => Promise.resolve(Fs.existsSync(Path.join(folder, "code")) || undefined))
      assert.strictEqual(Fs.readFileSync(Path.join(folder, "code"), "utf8"), "0\n")
      assert.deepStrictEqual(reported(Path.join(folder, "report.json")), { exitCode: 0, failure: undefined })
    } finally {
      await terminal.close()
    }
  })
})
