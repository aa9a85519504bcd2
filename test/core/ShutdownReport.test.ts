import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import { DrainReport, exitCode, format, ShutdownReport, toJson } from "../../src/core/ShutdownReport.js"

const drain = (name: string, fields: Partial<DrainReport> = {}) =>
  new DrainReport({
    name,
    outcome: "Drained",
    started: Duration.zero,
    elapsed: Duration.seconds(1),
    finished: 0,
    handedBack: 0,
    cut: 0,
    ...fields
  })

const report = new ShutdownReport({
  cause: "SIGTERM",
  from: "Running",
  signals: ["SIGTERM"],
  expedited: false,
  gracePeriod: Duration.seconds(25),
  preStopDelay: Duration.zero,
  elapsed: Duration.seconds(4),
  drains: [
    drain("http", { finished: 3 }),
    drain("importer", {
      outcome: "Interrupted",
      started: Duration.seconds(1),
      elapsed: Duration.seconds(2),
      handedBack: 2,
      reason: "drain not done within 2s"
    }),
    drain("database", { started: Duration.seconds(3) })
  ],
  exitCode: 0
})

describe("ShutdownReport", () => {
  it("is formatted as a timed tree", () => {
    assert.deepStrictEqual(format(report).split("\n"), [
      "SIGTERM: stopped in 4s of 25s",
      "├─ http     ━━━━━━                       1s  Drained 3 finished",
      "├─ importer       ━━━━━━━━━━━━           2s  Interrupted 2 handed back",
      "│           drain not done within 2s",
      "└─ database                   ━━━━━━     1s  Drained",
      "exit 0"
    ])
  })

  it("fits the width of the terminal, and shortens its bars first", () => {
    assert.deepStrictEqual(
      format(report, { columns: 50 }).split("\n")[2],
      "├─ importer  ━━      2s  Interrupted 2 handed back"
    )
    assert.isTrue(format(report, { columns: 30 }).split("\n").every((line) => line.length <= 30))
  })

  it("on a narrow terminal cuts names and continues reasons on the next line, so that nothing of them is lost", () => {
    const failure =
      "drain failed: cannot flush:\n\u001b[31mthe connection\u001b[39m to redis://127.0.0.1:6379/a/long/path was refused"
    const narrow = new ShutdownReport({
      ...report,
      failure,
      drains: [
        drain("importer of the files of customers", { outcome: "Interrupted", handedBack: 12, failure }),
        drain("数据库")
      ]
    })
    assert.deepStrictEqual(format(narrow, { columns: 60 }).split("\n"), [
      "SIGTERM: stopped in 4s of 25s",
      "├─ importer of the … ━        1s  Interrupted 12 handed back",
      "│                    drain failed: cannot flush: the",
      "│                    connection to",
      "│                    redis://127.0.0.1:6379/a/long/path was",
      "│                    refused",
      "└─ 数据库            ━        1s  Drained",
      "drain failed: cannot flush: the connection to",
      "redis://127.0.0.1:6379/a/long/path was refused",
      "exit 0"
    ])
  })

  it("of very many resources shows those that were cut, not clean or slow, and counts the others", () => {
    const many = new ShutdownReport({
      ...report,
      drains: [
        ...Array.from({ length: 997 }, (_, index) => drain(`r${index}`, { elapsed: Duration.millis(index) })),
        drain("stubborn", { outcome: "Abandoned", elapsed: Duration.zero, cut: 1 }),
        drain("failed", { elapsed: Duration.zero, failure: "release failed: no" }),
        drain("handed back", { outcome: "Interrupted", elapsed: Duration.zero, handedBack: 1 })
      ]
    })
    assert.deepStrictEqual(format(many, { columns: 60, maxDrains: 4 }).split("\n"), [
      "SIGTERM: stopped in 4s of 25s",
      "├─ r996        ━━━          996ms  Drained",
      "├─ stubborn    ━              0ms  Abandoned 1 cut",
      "├─ failed      ━              0ms  Drained",
      "│              release failed: no",
      "├─ handed back ━              0ms  Interrupted 1 handed back",
      "└─ … and 996 more, all Drained",
      "exit 0"
    ])
    assert.deepStrictEqual(format(many, { maxDrains: 1 }).split("\n").slice(2), [
      "└─ … and 999 more: 997 Drained, 1 failed, 1 Interrupted",
      "exit 0"
    ])
    assert.deepStrictEqual(format(many).split("\n").length, 1 + 50 + 1 + 1 + 1)
    assert.deepStrictEqual(format(many, { maxDrains: Infinity }).split("\n").length, 1 + 1000 + 1 + 1)
  })

  it("is decoded from its JSON", () => {
    assert.deepStrictEqual(Schema.decodeUnknownSync(ShutdownReport)(JSON.parse(toJson(report))), report)
  })

  it("has exit code 0 for work that was handed back, and 1 for work that was cut, abandoned or failed", () => {
    assert.deepStrictEqual(
      [
        exitCode({ drains: [drain("a", { outcome: "Interrupted", handedBack: 2 })] }),
        exitCode({ drains: [drain("a", { outcome: "Interrupted", cut: 1 })] }),
        exitCode({ drains: [drain("a", { outcome: "Abandoned" })] }),
        exitCode({ drains: [drain("a", { failure: "release failed: no" })] }),
        exitCode({ drains: [], failure: "uncaught error" })
      ],
      [0, 1, 1, 1, 1]
    )
  })
})
