/**
 * The column types that an upload declares: `POST /imports?columns=amount:number,day:date`.
 */
import { Either } from "effect"
import { Broken } from "./parser/recordReader.js"

export const types = ["string", "number", "integer", "boolean", "date"] as const

export type ColumnType = typeof types[number]

/** A column whose values must have a type. */
export interface Column {
  readonly name: string
  /** The JSON text of a CSV value. */
  readonly fromText: (text: string) => string | Broken
  /** Why a JSON value does not have this type; `undefined` is a missing value. */
  readonly checkJson: (value: unknown) => Broken | undefined
}

const description: { readonly [Type in ColumnType]: string } = {
  string: "a string",
  number: "a number",
  integer: "an integer",
  boolean: "true or false",
  date: "a date such as 2024-02-29"
}

const jsonNumber = /^-?(0|[1-9]\d{0,300})(\.\d{1,300})?$/
const number = /^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/

const numberFromText = (text: string): string | undefined => {
  // Keeps the digits of the text where JSON allows it: an amount of money must not lose any.
  if (jsonNumber.test(text)) return text
  return number.test(text) && Number.isFinite(Number(text)) ? JSON.stringify(Number(text)) : undefined
}

const isDate = (text: string): boolean => {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text)
  if (match === null || match[1] === "0000") return false
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

const fromText: { readonly [Type in ColumnType]: (text: string) => string | undefined } = {
  string: (text) => JSON.stringify(text),
  number: numberFromText,
  integer: (text) => /^[-+]?\d{1,300}$/.test(text) ? text.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1") : undefined,
  boolean: (text) => /^(true|false)$/i.test(text) ? text.toLowerCase() : undefined,
  date: (text) => isDate(text) ? JSON.stringify(text) : undefined
}

const isJson: { readonly [Type in ColumnType]: (value: unknown) => boolean } = {
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: (value) => Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  date: (value) => typeof value === "string" && isDate(value)
}

/** Digits that a number would lose, such as those of postal codes and telephone numbers. */
const hasDigitsToKeep = (text: string) => /^([-+]?0\d|\+)/.test(text)

/** Whether a CSV value has this type, and stays what it is. */
export const fitsText = (type: ColumnType, text: string): boolean =>
  fromText[type](text.trim()) !== undefined &&
  !((type === "integer" || type === "number") && hasDigitsToKeep(text.trim()))

/** Whether a JSON value has this type. */
export const fitsJson = (type: ColumnType, value: unknown): boolean => isJson[type](value)

const excerpt = (value: string) => value.length > 60 ? `${value.slice(0, 60)}…` : value

const make = (name: string, type: ColumnType, optional: boolean): Column => {
  const mismatch = (value: string) => new Broken(`${name}: expected ${description[type]}, but found ${excerpt(value)}`)
  return {
    name,
    fromText: (text) =>
      optional && text === ""
        ? "null"
        : fromText[type](type === "string" ? text : text.trim()) ?? mismatch(`"${text}"`),
    checkJson: (value) => {
      if (optional && (value === undefined || value === null)) return undefined
      return isJson[type](value) ? undefined : mismatch(value === undefined ? "nothing" : JSON.stringify(value))
    }
  }
}

/**
 * Parses `amount:number,day:date?`. A name may contain colons. A type with `?` also accepts an empty CSV value, a JSON null and a
 * missing JSON member, as null.
 */
export const parse = (spec: string): Either.Either<ReadonlyArray<Column>, string> =>
  spec.trim() === "" ? Either.right([]) : Either.flatMap(
    Either.all(
      spec.split(",").map((part) => {
        const match = /^\s*(.+?)\s*:\s*(\w+)(\??)\s*$/.exec(part)
        if (match === null) return Either.left(`expected name:type, but received "${part}"`)
        const [, name = "", typeName, optional] = match
        const type = types.find((type) => type === typeName)
        return type === undefined
          ? Either.left(`${name}: expected one of ${types.join(", ")}, but received "${typeName}"`)
          : Either.right(make(name, type, optional === "?"))
      })
    ),
    (columns) => {
      const duplicate = columns.find(({ name }, index) => columns.findIndex((other) => other.name === name) !== index)
      return duplicate === undefined
        ? Either.right(columns)
        : Either.left(`the column "${duplicate.name}" is declared twice`)
    }
  )
