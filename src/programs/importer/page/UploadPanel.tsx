/**
 * Takes files, and shows each with its columns until it is imported.
 */
import { useRef, useState } from "preact/hooks"
import { StagedFile } from "./StagedFile.js"

interface Staged {
  readonly id: string
  readonly file: File
}

/** Random, and unlike `crypto.randomUUID` also there when the page comes from another machine without TLS. */
const makeId = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-")

interface Props {
  /** Whether the service accepts nothing now. */
  readonly paused: boolean
  readonly onImported: () => Promise<void>
}

export const UploadPanel = ({ onImported, paused }: Props) => {
  const [staged, setStaged] = useState<ReadonlyArray<Staged>>([])
  /** Each change imports all files that are staged, each as soon as its first rows are read. */
  const [importAll, setImportAll] = useState(0)
  const [over, setOver] = useState(false)
  const input = useRef<HTMLInputElement>(null)

  const add = (files: Iterable<File> | null | undefined) => {
    if (!paused) setStaged((before) => [...before, ...Array.from(files ?? [], (file) => ({ id: makeId(), file }))])
  }
  const remove = (id: string) => setStaged((before) => before.filter((found) => found.id !== id))

  return (
    <section class="upload" aria-labelledby="upload">
      <h2 id="upload" class="unseen">Upload</h2>
      <label
        class={paused ? "drop off" : over ? "drop over" : "drop"}
        onDragOver={(event) => {
          event.preventDefault()
          setOver(true)
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault()
          setOver(false)
          add(event.dataTransfer?.files)
        }}
      >
        <input
          ref={input}
          type="file"
          disabled={paused}
          multiple
          accept=".csv,.ndjson,.jsonl"
          onChange={() => {
            add(input.current?.files)
            input.current!.value = ""
          }}
        />
        <svg viewBox="0 0 24 24" aria-hidden="true">
          <path d="M12 15V4m0 0L7.5 8.5M12 4l4.5 4.5M4.5 15v3A2.5 2.5 0 0 0 7 20.5h10a2.5 2.5 0 0 0 2.5-2.5v-3" />
        </svg>
        {paused
          ? <span>Files are accepted again when the service is back</span>
          : (
            <span>
              <b>Drop files here</b>, or choose them
            </span>
          )}
        <small>
          CSV with a header, or NDJSON, up to 100 MiB each. Every row is imported exactly once, whatever happens.
        </small>
      </label>
      {staged.map(({ file, id }) => (
        <StagedFile
          key={id}
          file={file}
          importKey={id}
          importAll={importAll}
          onRemoved={() => remove(id)}
          onImported={async () => {
            await onImported()
            remove(id)
          }}
        />
      ))}
      {staged.length > 1 && (
        <button type="button" class="primary all" onClick={() => setImportAll((n) => n + 1)}>
          Import all {staged.length} files
        </button>
      )}
    </section>
  )
}
