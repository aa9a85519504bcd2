/** The lower bound: a server of node:http without any library, and without routes. */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { serverOptions, waiting } from "./apps.js"
import { reportUsage } from "./usage.js"

const send = (response: ServerResponse, type: string, body: string) => {
  response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(body) })
  response.end(body)
}

const server = createServer(serverOptions, (request, response) => {
  if (request.url === waiting.path) return
  if (request.method === "GET") return send(response, "text/plain", "hello")
  let body = ""
  request.setEncoding("utf8")
  request.on("data", (chunk: string) => void (body += chunk))
  request.on("end", () => send(response, "application/json", JSON.stringify(JSON.parse(body))))
})

reportUsage()
server.listen(0, "127.0.0.1", () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
