/**
 * Jobs that have used all their attempts, until they are retried or discarded.
 */
import { useEffect, useState } from "preact/hooks"
import { type DeadLetterItem, discardDeadLetter, listDeadLetters, messageOf, retryDeadLetter } from "./api.js"
import { clockTime, plural } from "./format.js"
import type { Imports } from "./useImports.js"

interface LetterProps {
  readonly letter: DeadLetterItem
  readonly name: string
  readonly act: (action: Promise<unknown>) => void
}

const Letter = ({ act, letter: { attempts, error, failedAt, id }, name }: LetterProps) => {
  const [sure, setSure] = useState(false)
  return (
    <li class="card letter">
      <div class="title">
        <h3>{name}</h3>
        <small>
          {plural(attempts, "attempt")}, <time dateTime={failedAt}>{clockTime(failedAt)}</time>
        </small>
      </div>
      <p class="error">{error}</p>
      <div class="title">
        <button
          type="button"
          class="primary"
          aria-label={`Retry ${name}`}
          onClick={() => act(retryDeadLetter(id, false))}
        >
          Retry
        </button>
        <button
          type="button"
          class="quiet"
          aria-label={`Retry from the start: ${name}`}
          onClick={() => act(retryDeadLetter(id, true))}
        >
          Retry from the start
        </button>
        <button
          type="button"
          class="quiet danger"
          aria-label={sure ? `Yes, discard it and its file: ${name}` : `Discard ${name}`}
          onBlur={() => setSure(false)}
          onClick={() => sure ? act(discardDeadLetter(id)) : setSure(true)}
        >
          {sure ? "Yes, discard it and its file" : "Discard"}
        </button>
      </div>
    </li>
  )
}

export const DeadLetters = ({ imports: { list, refresh } }: { imports: Imports }) => {
  const [letters, setLetters] = useState<ReadonlyArray<DeadLetterItem>>()
  const [error, setError] = useState<string>()
  const read = () =>
    listDeadLetters().then(
      (found) => {
        setLetters(found)
        setError(undefined)
      },
      (error) => setError(messageOf(error))
    )
  const act = (action: Promise<unknown>) =>
    void action.then(() => undefined, (error) => setError(messageOf(error))).then(read).then(refresh)

  // A job becomes a dead letter when its import fails.
  const failed = list?.filter(({ item }) => item.status === "Failed").map(({ item }) => item.id).join()
  useEffect(() => void read(), [failed])

  const nameOf = ({ id, importId }: DeadLetterItem) =>
    list?.find(({ item }) => item.id === importId)?.item.name ?? importId ?? id
  return (
    <section aria-labelledby="dead-letters">
      <h2 id="dead-letters">Dead letters</h2>
      {error !== undefined && <p class="error" role="alert">{error}</p>}
      {letters === undefined
        ? error === undefined && <p class="empty">Loading …</p>
        : letters.length === 0
        ? <p class="empty">None: every job has completed, or still has attempts.</p>
        : (
          <ul class="imports">
            {letters.map((letter) => <Letter key={letter.id} letter={letter} name={nameOf(letter)} act={act} />)}
          </ul>
        )}
    </section>
  )
}
