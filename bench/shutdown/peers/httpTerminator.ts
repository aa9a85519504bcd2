import { createHttpTerminator } from "http-terminator"
import { createServer } from "node:http"
import "../watch.js"
import { handler, listen, options } from "./handler.js"

const terminator = createHttpTerminator({ server: listen(createServer(options, handler)) })

process.once("SIGTERM", () => void terminator.terminate().then(() => process.exit()))
