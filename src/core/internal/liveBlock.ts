import { Effect, type Scope } from "effect"

type Write = typeof process.stdout.write

/** What is written to: stdout and stderr of a terminal, which share its screen. */
export interface Screen {
  write: Write
  readonly columns?: number
}

const up = (lines: number) => lines === 0 ? "" : `\x1b[${lines}A\r\x1b[0J`

/**
 * A block of lines at the bottom of the screen. While it stands, whatever else is written to the same screens is
 * printed above it. Closing the scope removes it and gives the screens their own `write` back.
 */
export const liveBlock = (
  screens: readonly [Screen, ...Array<Screen>]
): Effect.Effect<(text: string) => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const [screen] = screens
        const writes = screens.map((screen) => screen.write)
        const raw = (text: string) => void writes[0]!.call(screen, text)
        let block = ""
        let lines = 0
        const clear = () => raw(up(lines))
        const draw = (text: string) => {
          const width = (screen.columns || 80) - 1
          const rows = text === "" ? [] : text.split("\n").map((row) => row.slice(0, width))
          clear()
          block = rows.map((row) => `${row}\n`).join("")
          lines = rows.length
          raw(block)
        }
        screens.forEach((screen, index) => {
          screen.write = function(this: Screen, ...args: Parameters<Write>) {
            clear()
            const written = writes[index]!.apply(screen as never, args)
            if (typeof args[0] === "string" && !args[0].endsWith("\n")) raw("\n")
            raw(block)
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
