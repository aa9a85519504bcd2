/**
 * The page of the importer. `npm run build` makes it of this folder.
 */
import { render } from "preact"
import { App } from "./App.js"
import "./styles/theme.css"
import "./styles/layout.css"
import "./styles/imports.css"
import "./styles/service.css"
import "./styles/queues.css"

render(<App />, document.getElementById("app")!)
