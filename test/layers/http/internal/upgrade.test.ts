import { assert, describe, it } from "@effect/vitest"
import { createServer, IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { serveAsOrdinary } from "../../../../src/layers/http/internal/upgrade.js"

/** What the server reads from its socket, and what it writes to it, for a request that Node took for an upgrade. */
const serve = (rawHeaders: ReadonlyArray<string>, maxHeadersCount: number | null = null) => {
  const server = Object.assign(createServer(), { maxHeadersCount })
  const socket = new Socket()
  let written = ""
  socket.end = ((text: string) => {
    written = text
    return socket
  }) as typeof socket.end
  const request = Object.assign(new IncomingMessage(socket), { method: "POST", url: "/a?b", httpVersion: "1.1" })
  request.rawHeaders = [...rawHeaders]
  let again = 0
  server.removeAllListeners("connection").on("connection", () => again++)
  serveAsOrdinary(server, request, socket, Buffer.from("body"))
  return { again, read: (socket.read() as Buffer | null)?.toString("latin1"), written }
}

describe("serveAsOrdinary", () => {
  it("gives the server the request again, without the headers of the upgrade", () => {
    const headers = ["Host", "test", "connection", "Upgrade, close, HTTP2-Settings", "UPGRADE", "h2c"]
    assert.deepStrictEqual(serve([...headers, "HTTP2-Settings", "AAM", "X-Name", "caf\u00e9", "X-Name", ""]), {
      again: 1,
      read: "POST /a?b HTTP/1.1\r\nHost: test\r\nconnection: close\r\nX-Name: caf\u00e9\r\nX-Name: \r\n\r\nbody",
      written: ""
    })
  })

  it("responds 431 where Node may have left out headers", () => {
    const many = Array.from({ length: 2000 }, () => "a")
    for (const refused of [serve(many), serve(["a", "b"], 1)]) {
      assert.deepStrictEqual([refused.again, refused.read], [0, undefined])
      assert.match(refused.written, /^HTTP\/1\.1 431 /)
    }
    assert.deepStrictEqual([serve(many.slice(2)).again, serve(many, 0).again, serve(["a", "b"], 2).again], [1, 1, 1])
  })
})
