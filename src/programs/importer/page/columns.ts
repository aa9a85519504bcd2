/**
 * The types of columns as an upload declares them.
 */
import type { Guess } from "../Domain.js"

export type Column = (typeof Guess.Encoded)["columns"][number]
export type ColumnType = Column["type"]

export const columnTypes: ReadonlyArray<ColumnType> = ["string", "integer", "number", "boolean", "date"]

/** `amount:number,day:date?`. Any text is a string, so strings are not declared. */
export const declaration = (columns: ReadonlyArray<Column>): string =>
  columns
    .filter(({ declarable, type }) => declarable && type !== "string")
    .map(({ name, optional, type }) => `${name}:${type}${optional ? "?" : ""}`)
    .join(",")
