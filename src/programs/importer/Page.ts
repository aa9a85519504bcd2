/**
 * The page at `/`: one document without dependencies.
 */
const style = `
  :root { color-scheme: light dark; --line: #8884; --accent: #2f6f4f; --warn: #b3541e; }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  header { display: flex; align-items: baseline; gap: 1rem; }
  h1 { font-size: 1.4rem; margin: 0; }
  h2 { font-size: 1.1rem; }
  #state { border: 1px solid var(--line); border-radius: 1rem; padding: 0 .7rem; }
  #state.Running { color: var(--accent); border-color: currentColor; }
  #state.LameDuck, #state.Draining, #state.away { color: var(--warn); border-color: currentColor; }
  form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: 1.5rem 0; padding: 1rem;
    border: 1px dashed var(--line); border-radius: .5rem; }
  form.over { border-color: var(--accent); }
  input[name=columns] { flex: 1; min-width: 16rem; }
  input, button { font: inherit; }
  #message { color: var(--warn); min-height: 1.5em; margin: 0; }
  ul { list-style: none; padding: 0; }
  li { display: grid; grid-template-columns: 1fr auto; gap: .1rem 1rem; padding: .7rem 0;
    border-top: 1px solid var(--line); }
  li b { overflow-wrap: anywhere; }
  li small { opacity: .75; font-variant-numeric: tabular-nums; }
  li nav { display: flex; gap: .8rem; grid-row: span 2; align-items: center; }
  progress { grid-column: 1 / -1; width: 100%; height: .6rem; accent-color: var(--accent); }
  button.cancel { border: 0; background: none; color: var(--warn); cursor: pointer; padding: 0; }
`

const script = `
  const $ = (id) => document.getElementById(id)
  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties)
    made.append(...children)
    return made
  }
  const final = new Set(["Completed", "Cancelled", "Failed"])
  const items = new Map()
  const streams = new Map()
  // A browser opens six connections to one address: this leaves some for uploads and other requests.
  const maxStreams = 3

  const show = (found) => {
    let item = items.get(found.id)
    if (item === undefined) {
      item = { li: element("li"), name: element("b"), counts: element("small"), nav: element("nav"),
        bar: element("progress"), cancel: element("button", { className: "cancel", textContent: "cancel" }) }
      item.cancel.onclick = () => fetch("/imports/" + found.id, { method: "DELETE" }).then(refresh)
      const link = (what) => element("a", { href: "/imports/" + found.id + "/" + what, textContent: what })
      item.nav.append(link("rows"), link("rejects"), item.cancel)
      item.li.append(item.name, item.nav, item.counts, item.bar)
      items.set(found.id, item)
    }
    const done = found.rowsLoaded + found.rowsRejected
    item.name.textContent = found.name
    item.counts.textContent = found.status + ": " + found.rowsLoaded.toLocaleString() + " loaded, " +
      found.rowsRejected.toLocaleString() + " rejected" +
      (found.rowsTotal === null ? "" : " of " + found.rowsTotal.toLocaleString()) +
      (found.failure === undefined ? "" : " (" + found.failure + ")")
    const isFinal = final.has(found.status)
    item.bar.hidden = isFinal
    item.cancel.hidden = isFinal
    if (found.rowsTotal === null) item.bar.removeAttribute("value")
    else Object.assign(item.bar, { max: Math.max(1, found.rowsTotal), value: done })
    if (!isFinal && !streams.has(found.id) && streams.size < maxStreams) follow(found.id)
    if (isFinal) unfollow(found.id)
    return item.li
  }

  const follow = (id) => {
    const stream = new EventSource("/imports/" + id + "/events")
    streams.set(id, stream)
    // A browser reconnects by itself unless it was refused; the list is refreshed anyway.
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) unfollow(id) }
    stream.addEventListener("progress", (event) => show(JSON.parse(event.data)))
  }
  const unfollow = (id) => {
    streams.get(id)?.close()
    streams.delete(id)
  }

  const refresh = async () => {
    try {
      const { imports } = await (await fetch("/imports")).json()
      const list = imports.map(show)
      if (list.some((li, index) => $("list").children[index] !== li)) $("list").replaceChildren(...list)
    } catch {
      // The state at the top of the page shows that the service is unreachable.
    }
  }

  // Dead letters are kept until they are retried or discarded.
  const refreshDead = async () => {
    try {
      const { deadLetters } = await (await fetch("/dead-letters")).json()
      const act = (method, path) => () => fetch("/dead-letters/" + path, { method }).then(refreshDead).then(refresh)
      const button = (text, onclick) => element("button", { className: "cancel", textContent: text, onclick })
      $("dead").hidden = deadLetters.length === 0
      $("dead").lastElementChild.replaceChildren(...deadLetters.map((letter) => {
        const id = encodeURIComponent(letter.id)
        const name = items.get(letter.importId)?.name.textContent ?? letter.importId ?? letter.id
        return element("li", {}, element("b", { textContent: name }),
          element("nav", {}, button("retry", act("POST", id + "/retry")),
            button("from the start", act("POST", id + "/retry?fromStart=true")), button("discard", act("DELETE", id))),
          element("small", { textContent: letter.attempts + " attempts: " + letter.error }))
      }))
    } catch {
      // The state at the top of the page shows that the service is unreachable.
    }
  }

  const lifecycle = async () => {
    let state = "away"
    try {
      state = (await (await fetch("/status")).json()).state
    } catch {
      // The service has stopped, or not yet started.
    }
    $("state").textContent = state === "away" ? "unreachable, trying again" : state
    $("state").className = state
    setTimeout(lifecycle, 1000)
  }

  const upload = async (file, columns) => {
    const type = /\\.(ndjson|jsonl)$/i.test(file.name) ? "application/x-ndjson" : "text/csv"
    const query = new URLSearchParams({ name: file.name.slice(0, 255), columns })
    $("message").textContent = "uploading " + file.name + " ..."
    try {
      const response = await fetch("/imports?" + query, { method: "POST", body: file, headers: { "content-type": type } })
      const answer = await response.json()
      $("message").textContent = response.ok ? "" : file.name + ": " + answer.message
    } catch {
      $("message").textContent = file.name + ": the upload was aborted and nothing of it is kept; please try again"
    }
    await refresh()
  }

  const form = $("upload")
  form.onsubmit = (event) => {
    event.preventDefault()
    for (const file of form.elements.file.files) upload(file, form.elements.columns.value)
  }
  form.ondragover = (event) => { event.preventDefault(); form.classList.add("over") }
  form.ondragleave = () => form.classList.remove("over")
  form.ondrop = (event) => {
    event.preventDefault()
    form.classList.remove("over")
    for (const file of event.dataTransfer.files) upload(file, form.elements.columns.value)
  }
  lifecycle()
  refresh().then(refreshDead)
  setInterval(() => refresh().then(refreshDead), 2000)
`

export const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Importer</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header><h1>Importer</h1><span id="state">...</span><a href="/docs">API</a></header>
<form id="upload">
  <input type="file" name="file" accept=".csv,.ndjson,.jsonl" multiple required aria-label="Files">
  <input name="columns" placeholder="column types (optional): amount:number, day:date?" aria-label="Types of columns">
  <button>Upload</button>
</form>
<p id="message" role="status"></p>
<ul id="list"></ul>
<section id="dead" hidden><h2>Failed jobs (dead letters)</h2><ul></ul></section>
<script>${script}</script>
</body>
</html>
`
