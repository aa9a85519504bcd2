// Node 20: an HTTP/2 server keeps a connection for good whose client has broken the protocol and disconnected.
// node node20-http2-broken.mjs
import { createServer } from "node:http2"
import { connect } from "node:net"

const server = createServer(() => {})
let accepted
server.on("connection", (socket) => (accepted = socket)).on("sessionError", () => {})
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))

const request = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("000000040000000000", "hex"), // SETTINGS
  Buffer.from("000006010500000001828684410178", "hex") // HEADERS: GET /
])
const invalid = Buffer.from(
  "00000101000000000382" + // HEADERS without END_HEADERS
    "0000080600000000000000000000000000", // PING, where only CONTINUATION is allowed
  "hex"
)

const client = connect(server.address().port, "127.0.0.1", () => client.write(request))
client.on("error", () => {})
server.once("stream", () => client.write(invalid))
// Disconnects when it has the GOAWAY of the server, or the end of the connection.
await new Promise((resolve) => {
  client.on("data", (chunk) => chunk.includes("CONTINUATION") && client.destroy()).once("close", resolve)
})
await new Promise((resolve) => setTimeout(resolve, 1000))
console.log("expected: the connection is closed")
console.log(`actual:   the connection is ${accepted.destroyed ? "closed" : "open"}`)
process.exit(accepted.destroyed ? 0 : 1)
