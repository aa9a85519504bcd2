/** The size of a terminal. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

/** The size of the terminals of the tests. */
export const size: Size = { columns: 100, rows: 40 }

/**
 * The screen of a terminal whose characters take one column each. Supports the few escape sequences that the service and npm use, and throws on any other, so that
 * a test cannot pass on a wrong screen.
 */
export class Screen {
  private lines: Array<string> = [""]
  /** The lines that go on in the next one. */
  private broken = new Set<number>()
  private row = 0
  private column = 0
  private rest = ""

  constructor(private current: Size = size) {}

  /** Breaks and joins lines anew, as most terminals do. The cursor stays at its line. */
  resize(columns: number): void {
    const whole: Array<string> = [""]
    let cursor = 0
    this.lines.forEach((line, index) => {
      if (index === this.row) cursor = whole.length - 1
      whole[whole.length - 1] += line
      if (!this.broken.has(index)) whole.push("")
    })
    this.current = { ...this.current, columns }
    this.lines = []
    this.broken.clear()
    whole.slice(0, -1).forEach((line, index) => {
      if (index === cursor) this.row = this.lines.length
      const text = line.trimEnd()
      for (let at = 0; at === 0 || at < text.length; at += columns) {
        if (at > 0) this.broken.add(this.lines.length - 1)
        this.lines.push(text.slice(at, at + columns))
      }
    })
  }

  write(text: string): void {
    const input = this.rest + text

    const pieces = /\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)/gy
    let at = 0
    for (let match = pieces.exec(input); match !== null; match = pieces.exec(input)) {
      at = pieces.lastIndex
      const [, parameters, command, control, plain] = match
      if (command !== undefined) this.control(parameters ?? "", command)
      else if (control === "\r") this.column = 0
      else if (control === "\n") this.down()
      else this.put(plain!)
    }
    this.rest = input.slice(at)
    if (this.rest.length > 16) {
      throw new Error(`unknown to the test's terminal: ${JSON.stringify(this.rest.slice(0, 40))}`)
    }
  }

  get text(): string {
    return this.lines.map((line) => line.trimEnd()).join("\n").trimEnd()
  }

  private down() {
    this.row++
    if (this.row === this.lines.length) this.lines.push("")
  }

  private put(text: string) {
    for (const character of text) {
      if (this.column === this.current.columns) {
        this.broken.add(this.row)
        this.down()
        this.column = 0
      }
      const line = this.lines[this.row]!.padEnd(this.column)
      this.lines[this.row] = line.slice(0, this.column) + character + line.slice(this.column + 1)
      this.column++
    }
  }

  private control(parameters: string, command: string): void {
    const n = Number(parameters) || 0
    switch (command) {
      case "A":
        // Lines that have scrolled off the screen cannot be reached.
        this.row = Math.max(this.row - (n || 1), this.lines.length - this.current.rows, 0)
        return
      case "G":
        this.column = (n || 1) - 1
        return
      case "J":
        if (n !== 0) throw new Error("clears the screen")
        this.lines.length = this.row + 1
        this.broken = new Set([...this.broken].filter((line) => line < this.row))
        return this.control("0", "K")
      case "K":
        this.lines[this.row] = this.lines[this.row]!.slice(0, this.column)
        this.broken.delete(this.row)
        return
      case "m":
      case "h":
      case "l":
        // Colours, and the visibility of the cursor.
        return
      default:
        throw new Error(`unknown to the test's terminal: ESC[${parameters}${command}`)
    }
  }
}
