// Follows docs/start.md in an empty folder, up to Docker: node .ci/start.mjs <folder> <tarball of the package>. The files of the
// page are written there, its commands install, compile and test them, and the service stops on SIGTERM while it has work.
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const [folder, tarball] = process.argv.slice(2)
if (tarball === undefined) throw new Error("usage: node .ci/start.mjs <folder> <tarball>")

const page = readFileSync("docs/start.md", "utf8")
const blocks = Array.from(
  page.matchAll(/^```(\w+)(?: +(\S+))?\n([\s\S]*?)^```/gm),
  ([, language, name, code]) => ({ language, name, code })
)
mkdirSync(folder)
for (const { code, name } of blocks) if (name !== undefined) writeFileSync(join(folder, name), code)

/** The commands that end by themselves, and need no Docker. */
const commands = blocks.filter(({ language }) => language === "sh").flatMap(({ code }) => code.trim().split("\n"))
  .filter((line) => line.startsWith("npm ") || line.startsWith("npx "))
if (commands.length !== 6) throw new Error(`docs/start.md has other commands than expected: ${commands.join("; ")}`)
for (const command of commands) {
  const line = command.replace("npm install lastcall ", `npm install --no-audit --no-fund ${tarball} `)
  execFileSync("bash", ["-euo", "pipefail", "-c", line], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] })
}

const service = spawn(process.execPath, ["dist/main.js"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] })
const timeout = setTimeout(() => service.kill("SIGKILL"), 60_000)
let output = ""
let stopped = false
service.stdout.on("data", (chunk) => {
  process.stdout.write(chunk)
  output += chunk
  if (!stopped && output.includes("running; stops within")) {
    stopped = true
    void work()
  }
})

/** A request and three jobs are in flight when the signal comes. */
const work = async () => {
  const response = fetch("http://127.0.0.1:3000/")
  for (let job = 0; job < 3; job++) await fetch("http://127.0.0.1:3000/mails", { method: "POST" })
  service.kill("SIGTERM")
  if ((await (await response).text()) !== "hello\n") throw new Error("the request in flight got no response")
}

const [code] = await once(service, "exit")
clearTimeout(timeout)
const mails = output.match(/mail to ada/g)?.length ?? 0
if (code !== 0 || mails !== 3) throw new Error(`exit ${code} after ${mails} of 3 jobs`)
console.log("docs/start.md: its files compile, its test passes, its service finishes its work on SIGTERM")
