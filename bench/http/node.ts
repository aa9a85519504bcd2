/** The lower bound: a server of node:http without any library. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

const body = "hello"
const headers = { "content-type": "text/plain", "content-length": String(body.length) }

const server = createServer((_, response) => {
  response.writeHead(200, headers)
  response.end(body)
})

server.listen(0, "127.0.0.1", () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
