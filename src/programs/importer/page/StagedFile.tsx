/**
 * One file before it is imported: its first rows, and the types of its columns.
 */
import { useEffect, useRef, useState } from "preact/hooks"
import { type ColumnGuess, guessColumns, messageOf, upload } from "./api.js"
import { type Column, columnTypes, declaration } from "./columns.js"
import { bytes } from "./format.js"

interface Props {
  readonly file: File
  readonly importKey: string
  /** Each change imports the file, once its first rows are read. */
  readonly importAll: number
  readonly onRemoved: () => void
  readonly onImported: () => Promise<void>
}

interface State {
  readonly rows: ColumnGuess["rows"]
  /** Undefined until the first rows are read. */
  readonly columns: ReadonlyArray<Column> | undefined
  readonly error: string | undefined
  /** Whether the import begins as soon as the first rows are read. */
  readonly requested: boolean
  /** Undefined while no upload runs. */
  readonly sent: number | undefined
}

const initial: State = { rows: [], columns: undefined, error: undefined, requested: false, sent: undefined }

interface ColumnProps {
  readonly column: Column
  readonly disabled: boolean
  readonly onChange: (column: Column) => void
}

const ColumnHead = ({ column, disabled, onChange }: ColumnProps) => (
  <th scope="col">
    <span class="name">{column.name}</span>
    <select
      aria-label={`Type of ${column.name}`}
      disabled={disabled || !column.declarable}
      value={column.type}
      onChange={({ currentTarget }) => onChange({ ...column, type: currentTarget.value as Column["type"] })}
    >
      {columnTypes.map((type) => <option key={type} value={type}>{type}</option>)}
    </select>
    <label>
      <input
        type="checkbox"
        aria-label={`${column.name} may be empty`}
        disabled={disabled || column.type === "string"}
        checked={column.optional || column.type === "string"}
        onChange={({ currentTarget }) => onChange({ ...column, optional: currentTarget.checked })}
      />
      may be empty
    </label>
  </th>
)

interface PreviewProps {
  readonly columns: ReadonlyArray<Column>
  readonly rows: ColumnGuess["rows"]
  readonly name: string
  readonly disabled: boolean
  readonly onChange: (columns: ReadonlyArray<Column>) => void
}

const Preview = ({ columns, disabled, name, onChange, rows }: PreviewProps) => (
  <div class="scroll" role="region" aria-label={`Columns of ${name}`} tabIndex={0}>
    <table class="preview">
      <thead>
        <tr>
          {columns.map((column, index) => (
            <ColumnHead
              key={column.name}
              column={column}
              disabled={disabled}
              onChange={(changed) => onChange(columns.with(index, changed))}
            />
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, index) => <tr key={index}>{row.map((value, index) => <td key={index}>{value}</td>)}</tr>)}
      </tbody>
    </table>
  </div>
)

export const StagedFile = ({ file, importAll, importKey, onImported, onRemoved }: Props) => {
  const [{ columns, error, requested, rows, sent }, setState] = useState(initial)
  const change = (changed: Partial<State>) => setState((before) => ({ ...before, ...changed }))

  const read = () => {
    change({ error: undefined })
    guessColumns(file).then(change, (error) => change({ error: messageOf(error), requested: false }))
  }
  useEffect(read, [file])

  const start = async () => {
    change({ sent: 0, error: undefined, requested: false })
    try {
      await upload({
        file,
        columns: declaration(columns ?? []),
        key: importKey,
        onProgress: (sent) => change({ sent })
      })
      await onImported()
    } catch (error) {
      change({ error: messageOf(error), sent: undefined })
    }
  }

  const first = useRef(importAll)
  useEffect(() => {
    if (importAll === first.current || sent !== undefined) return
    change({ requested: true })
    if (columns === undefined && error !== undefined) read()
  }, [importAll])
  useEffect(() => {
    if (requested && columns !== undefined && sent === undefined) void start()
  }, [requested, columns])

  return (
    <article class="card staged" aria-label={file.name}>
      <div class="title">
        <h3>{file.name}</h3>
        <small>{bytes(file.size)}</small>
        <button
          type="button"
          class="primary"
          disabled={sent !== undefined || columns === undefined && error === undefined}
          onClick={columns === undefined ? read : start}
        >
          {sent !== undefined ? "Uploading …" : error !== undefined ? "Try again" : "Import"}
        </button>
        <button type="button" class="quiet" disabled={sent !== undefined} onClick={onRemoved}>Remove</button>
      </div>
      {error !== undefined && <p class="error" role="alert">{error}</p>}
      {sent !== undefined && (
        <progress max={Math.max(1, file.size)} value={sent} aria-label={`Upload of ${file.name}`} />
      )}
      {columns === undefined
        ? error === undefined && (
          <p class="empty" role="status">
            {requested ? "This file is imported as soon as its first rows are read." : "Reading the first rows …"}
          </p>
        )
        : (
          <Preview
            columns={columns}
            rows={rows}
            name={file.name}
            disabled={sent !== undefined}
            onChange={(columns) => change({ columns })}
          />
        )}
    </article>
  )
}
