import { createServer } from "node:http"

// What a process of this size costs.
if (process.env.IMPORT) await import(process.env.IMPORT)

const server = createServer((request, response) => setTimeout(() => response.end("answered"), 400))
server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`))
process.once("SIGTERM", () => server.close(() => process.exit()))
