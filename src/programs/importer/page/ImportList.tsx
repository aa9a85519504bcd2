/**
 * The imports, newest first.
 */
import { ImportCard } from "./ImportCard.js"
import type { Imports } from "./useImports.js"

interface Props {
  readonly imports: Imports
  /** Whether no worker loads now. */
  readonly paused: boolean
}

export const ImportList = ({ imports: { error, list, refresh }, paused }: Props) => (
  <section aria-labelledby="imports">
    <h2 id="imports">Imports</h2>
    {list === undefined
      ? <p class={error === undefined ? "empty" : "error"}>{error ?? "Loading …"}</p>
      : list.length === 0
      ? <p class="empty">Nothing is imported yet. Drop a file above.</p>
      : (
        <ul class="imports">
          {list.map((tracked) => (
            <ImportCard key={tracked.item.id} tracked={tracked} paused={paused} onChanged={refresh} />
          ))}
        </ul>
      )}
  </section>
)
