/**
 * The rejected rows of an import, and why.
 */
import { listRejects } from "./api.js"
import { count } from "./format.js"
import { Table } from "./Table.js"
import { usePages } from "./usePages.js"

interface Props {
  readonly id: string
  readonly name: string
  readonly version: string
}

export const Rejects = ({ id, name, version }: Props) => {
  const pages = usePages((after) => listRejects(id, after), version)
  return (
    <>
      <Table
        label={`Rejects of ${name}`}
        columns={["Row", "Reason", "As in the file"]}
        pages={pages}
        cells={({ excerpt, reason, rowNumber }) => [count(rowNumber), reason, <code>{excerpt}</code>]}
      />
      <a class="download" href={`/imports/${id}/rejects.csv`} download>Download all as CSV</a>
    </>
  )
}
