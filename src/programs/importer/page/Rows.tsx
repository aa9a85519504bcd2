/**
 * A look at the rows of an import.
 */
import { listRows, showValue } from "./api.js"
import { count } from "./format.js"
import { Table } from "./Table.js"
import { usePages } from "./usePages.js"

interface Props {
  readonly id: string
  readonly name: string
  readonly version: string
}

export const Rows = ({ id, name, version }: Props) => {
  const pages = usePages((after) => listRows(id, after), version)
  const columns = [...new Set(pages.rows.flatMap(({ data }) => Object.keys(data)))]
  return (
    <Table
      label={`Rows of ${name}`}
      columns={["#", ...columns]}
      pages={pages}
      cells={({ data, rowNumber }) => [count(rowNumber), ...columns.map((column) => showValue(data[column]))]}
    />
  )
}
