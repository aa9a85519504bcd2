import { createServer } from "node:http"
import "../watch.js"
import { handler, listen, options } from "./handler.js"

const server = listen(createServer(options, handler))

process.once("SIGTERM", () => server.close(() => process.exit()))
