import { Effect, type Scope } from "effect"

type Write = typeof process.stdout.write

/** A stream that writes to a terminal: stdout and stderr may share one. */
export interface Screen {
  write: Write
  readonly columns?: number
}

const eraseUp = (lines: number) => lines === 0 ? "" : `\x1b[${lines}A\r\x1b[0J`

/**
 * A region of lines at the bottom of a terminal, drawn on the first screen. Replaces `write` of all screens, so that other
 * output is printed above the region. Closing the scope removes the region and restores `write`.
 */
export const liveRegion = (
  screens: readonly [Screen, ...Array<Screen>]
): Effect.Effect<(text: string) => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const [screen] = screens
        const writes = screens.map((screen) => screen.write)
        const writeRaw = (text: string) => void writes[0]!.call(screen, text)
        let region = ""
        let lines = 0
        const erase = () => writeRaw(eraseUp(lines))
        const draw = (text: string) => {
          const width = (screen.columns || 80) - 1
          const rows = text === "" ? [] : text.split("\n").map((row) => row.slice(0, width))
          erase()
          region = rows.map((row) => `${row}\n`).join("")
          lines = rows.length
          writeRaw(region)
        }
        screens.forEach((screen, index) => {
          screen.write = function(this: Screen, ...args: Parameters<Write>) {
            erase()
            const written = writes[index]!.apply(screen as never, args)
            if (typeof args[0] === "string" && !args[0].endsWith("\n")) writeRaw("\n")
            writeRaw(region)
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
