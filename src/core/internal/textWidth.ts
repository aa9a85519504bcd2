import { stripVTControlCharacters } from "node:util"

/** Characters that take two columns of a terminal: East Asian ones and emoji. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u

/** Characters that take none, such as accents of their own. */
const narrow = /\p{M}|\p{Cf}/u

const widthOf = (character: string): number => wide.test(character) ? 2 : narrow.test(character) ? 0 : 1

const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)

/** The columns of a terminal that a text takes. */
export const textWidth = (text: string): number =>
  isPlain(text) ? text.length : Array.from(text).reduce((sum, character) => sum + widthOf(character), 0)

/** A text in one line, without what would move the cursor or set colours. */
export const oneLine = (text: string): string =>
  isPlain(text) ? text : stripVTControlCharacters(text).replace(/\s*[\p{Cc}\u2028\u2029]+\s*/gu, " ")

/** The longest beginning that fits, by characters. */
const fitting = (text: string, columns: number): string => {
  let room = columns
  let end = 0
  for (const character of text) {
    room -= widthOf(character)
    if (room < 0) break
    end += character.length
  }
  return text.slice(0, end)
}

/** A text that is cut at so many columns; its last character says so. */
export const cutAt = (text: string, columns: number): string =>
  textWidth(text) <= columns ? text : `${fitting(text, Math.max(0, columns - 1))}…`

/** A text that takes so many columns: it is cut, or followed by spaces. */
export const padTo = (text: string, columns: number): string => {
  const cut = cutAt(text, columns)
  return cut + " ".repeat(Math.max(0, columns - textWidth(cut)))
}

/** A text in lines of at most so many columns, broken between words where there are any. */
export const wrapAt = (text: string, columns: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let rest = text
  while (textWidth(rest) > columns) {
    const line = fitting(rest, columns)
    if (line === "") break
    const space = rest[line.length] === " " ? line.length : line.lastIndexOf(" ")
    const end = space > 0 ? space : line.length
    lines.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return [...lines, rest]
}
