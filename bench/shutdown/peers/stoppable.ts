import { createServer } from "node:http"
import stoppable from "stoppable"
import "../watch.js"
import { handler, listen, options } from "./handler.js"

const server = stoppable(createServer(options, handler), 5000)

listen(server)

process.once("SIGTERM", () => server.stop(() => process.exit()))
