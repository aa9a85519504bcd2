import { Effect, type Scope } from "effect"
import { cutAt, textWidth } from "./textWidth.js"

type Write = typeof process.stdout.write

/** A stream that writes to a terminal: stdout and stderr may share one. */
export interface Screen {
  write: Write
  readonly columns?: number
}

const up = (lines: number) => lines === 0 ? "" : `\x1b[${lines}A\r`
const eraseBelow = "\x1b[0J"
const eraseRight = "\x1b[K"

/**
 * A region of lines at the bottom of a terminal, drawn on the first screen. Replaces `write` of all screens, so that other
 * output is printed above the region. Closing the scope removes the region and restores `write`.
 *
 * Lines that are as before are not written again, because a write to a slow terminal blocks the event loop. A terminal that
 * has become narrower has broken the lines of the region, and they are erased as broken.
 */
export const liveRegion = (
  screens: readonly [Screen, ...Array<Screen>]
): Effect.Effect<(text: string) => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const [screen] = screens
        const writes = screens.map((screen) => screen.write)
        const writeRaw = (text: string) => text === "" ? undefined : void writes[0]!.call(screen, text)
        const columns = () => screen.columns || 80
        let rows: ReadonlyArray<string> = []
        let drawnAt = columns()
        const joined = () => rows.map((row) => `${row}\n`).join("")
        const erase = () => {
          const height = rows.reduce((sum, row) => sum + Math.max(1, Math.ceil(textWidth(row) / columns())), 0)
          return height === 0 ? "" : up(height) + eraseBelow
        }
        const draw = (text: string) => {
          const before = rows
          const inPlace = columns() === drawnAt && before.length > 0
          const erased = inPlace ? "" : erase()
          drawnAt = columns()
          rows = text === "" ? [] : text.split("\n").map((row) => cutAt(row, drawnAt - 1))
          if (!inPlace) return writeRaw(erased + joined())
          const lines = rows.map((row, index) => row === before[index] ? "\n" : `${row}${eraseRight}\n`)
          writeRaw(up(before.length) + lines.join("") + (rows.length < before.length ? eraseBelow : ""))
        }
        screens.forEach((screen, index) => {
          screen.write = function(this: Screen, ...args: Parameters<Write>) {
            writeRaw(erase())
            const written = writes[index]!.apply(screen as never, args)
            drawnAt = columns()
            rows = rows.map((row) => cutAt(row, drawnAt - 1))
            writeRaw((typeof args[0] === "string" && !args[0].endsWith("\n") ? "\n" : "") + joined())
            return written
          } as Write
        })
        const restore = () => {
          draw("")
          screens.forEach((screen, index) => {
            screen.write = writes[index]!
          })
        }
        return { draw, restore }
      }),
      ({ restore }) => Effect.sync(restore)
    ),
    ({ draw }) => (text) => Effect.sync(() => draw(text))
  )
