/**
 * One import: its progress, and its rows and rejects on demand.
 */
import { useState } from "preact/hooks"
import { cancelImport, type ImportItem, isFinal, messageOf } from "./api.js"
import { count, duration, plural } from "./format.js"
import { rateOf, timeLeft } from "./rate.js"
import { Rejects } from "./Rejects.js"
import { Rows } from "./Rows.js"
import type { Tracked } from "./useImports.js"

/** Rows a second from the creation to the end: the upload is part of it. */
const summary = ({ completedAt, createdAt, rowsLoaded, rowsRejected, status }: ImportItem): string => {
  if (status !== "Completed" || completedAt === null) return ""
  const elapsed = Date.parse(completedAt) - Date.parse(createdAt)
  const rate = elapsed <= 0 ? 0 : ((rowsLoaded + rowsRejected) * 1000) / elapsed
  return ` in ${duration(elapsed)}${rowsLoaded + rowsRejected >= 1000 ? `, ${count(rate)} rows/s` : ""}`
}

/** Until the next process loads it. */
const interrupted = "goes on from here in the next process"

const waiting: { readonly [Status in ImportItem["status"]]?: string } = {
  Uploading: "the file arrives",
  Queued: "waits for a worker",
  Loading: "loading"
}

const Progress = ({ paused, tracked: { item, samples } }: { paused: boolean; tracked: Tracked }) => {
  const { name, rowsLoaded, rowsRejected, rowsTotal, status } = item
  const rate = paused ? undefined : rateOf(samples)
  const doing = paused && status !== "Uploading" ? interrupted : waiting[status]
  const left = rate === undefined || rowsTotal === null ? undefined : timeLeft(samples, rowsTotal)
  const done = rowsLoaded + rowsRejected
  return (
    <>
      {rowsTotal === null
        ? <progress aria-label={`Progress of ${name}`} />
        : <progress max={Math.max(1, rowsTotal)} value={done} aria-label={`Progress of ${name}`} />}
      <p class="pace">
        <span>{rowsTotal === null ? doing : `${count(done)} of ${plural(rowsTotal, "row")}`}</span>
        <span>{rate === undefined ? rowsTotal === null ? "" : doing : `${count(rate)} rows/s`}</span>
        <span>{left === undefined ? "" : `${duration(left)} left`}</span>
      </p>
    </>
  )
}

interface Props {
  readonly tracked: Tracked
  readonly paused: boolean
  readonly onChanged: () => Promise<void>
}

type Panel = "rows" | "rejects"

export const ImportCard = ({ onChanged, paused, tracked }: Props) => {
  const { item } = tracked
  const { failure, id, name, rowsLoaded, rowsRejected, status } = item
  const [panel, setPanel] = useState<Panel>()
  const [error, setError] = useState<string>()
  const cancel = () => cancelImport(id).then(onChanged, (error) => setError(messageOf(error)))
  const toggle = (which: Panel, label: string, n: number) => (
    <button
      type="button"
      class="quiet"
      aria-expanded={panel === which}
      aria-label={`${label} of ${name}`}
      disabled={n === 0 && panel !== which}
      onClick={() => setPanel(panel === which ? undefined : which)}
    >
      {label}
    </button>
  )
  return (
    <li class="card import" data-status={status}>
      <div class="title">
        <h3>{name}</h3>
        <span class="status">{status}</span>
      </div>
      {isFinal(item) ? null : <Progress tracked={tracked} paused={paused} />}
      <div class="title">
        <p class="counts">
          <b>{count(rowsLoaded)}</b> loaded, <b data-any={rowsRejected > 0}>{count(rowsRejected)}</b> rejected
          {summary(item)}
        </p>
        {toggle("rows", "Rows", rowsLoaded)}
        {toggle("rejects", "Rejects", rowsRejected)}
        {!isFinal(item) && (
          <button type="button" class="quiet danger" aria-label={`Cancel ${name}`} onClick={cancel}>Cancel</button>
        )}
      </div>
      {failure !== undefined && <p class="error">{failure}</p>}
      {error !== undefined && <p class="error" role="alert">{error}</p>}
      {panel === "rows" && <Rows id={id} name={name} version={status} />}
      {panel === "rejects" && <Rejects id={id} name={name} version={status} />}
    </li>
  )
}
