/**
 * A table whose rows are read page by page.
 */
import type { ComponentChildren } from "preact"
import type { Pages } from "./usePages.js"

interface Props<Row> {
  readonly label: string
  readonly columns: ReadonlyArray<string>
  readonly pages: Pages<Row>
  readonly cells: (row: Row) => ReadonlyArray<ComponentChildren>
}

export function Table<Row>({ cells, columns, label, pages: { error, loading, more, rows } }: Props<Row>) {
  return (
    <>
      {rows.length > 0 && (
        <div class="scroll tall" role="region" aria-label={label} tabIndex={0}>
          <table>
            <thead>
              <tr>{columns.map((name) => <th key={name} scope="col">{name}</th>)}</tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr key={index}>{cells(row).map((cell, index) => <td key={index}>{cell}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {error !== undefined && <p class="error" role="alert">{error}</p>}
      {loading && <p class="empty">Loading …</p>}
      {!loading && error === undefined && rows.length === 0 && <p class="empty">None.</p>}
      {more !== undefined && (
        <button type="button" class="quiet" onClick={more}>{error === undefined ? "More rows" : "Try again"}</button>
      )}
    </>
  )
}
