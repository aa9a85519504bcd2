import type * as Http from "node:http"
import type * as Net from "node:net"
import { headersTooLarge, serviceUnavailable } from "./plainResponses.js"

/** The part of `http.Server` that decides about upgrades. `shouldUpgradeCallback` exists from Node 22.21 and 24.9 on. */
type UpgradingServer = Net.Server & {
  maxHeadersCount?: number | null
  shouldUpgradeCallback?: (request: Http.IncomingMessage) => boolean
}

/** A name of a protocol, or several (RFC 6455, 4.1): tokens of RFC 9110. */
const protocols = /^[!#$%&'*+.^_`|~\w-]+([ \t]*,[ \t]*[!#$%&'*+.^_`|~\w-]+)*$/

const areProtocols = (header: string): boolean => {
  const names = header.split(",").map((name) => name.trim())
  return protocols.test(header) && new Set(names).size === names.length
}

/**
 * Whether the request has the handshake of a WebSocket (RFC 6455, 4.2.1). The platform opens no WebSocket for another one,
 * and its handler would wait for it without end.
 */
export const isWebSocket = ({ headers, method }: Http.IncomingMessage): boolean =>
  method === "GET" && headers.upgrade?.toLowerCase() === "websocket" &&
  /^[+/\dA-Za-z]{22}==$/.test(headers["sec-websocket-key"] ?? "") &&
  /^(13|8)$/.test(headers["sec-websocket-version"] ?? "") &&
  areProtocols(headers["sec-websocket-protocol"] ?? "none")

/**
 * Whether a request with an `Upgrade` header is an upgrade. The app takes WebSockets, and listeners of others, such as a
 * server of `ws`, may take any protocol. Every other such request is an ordinary one, as RFC 9110 (7.8) has it.
 */
export const takesUpgrade = (server: Net.Server, request: Http.IncomingMessage): boolean =>
  isWebSocket(request) || server.listenerCount("upgrade") > 1

const hasBody = ({ headers }: Http.IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

/**
 * Passes on what arrives until the request is complete, and drops the rest. Node drops what follows such a request in
 * the same chunk, so that the chunk after it may begin anywhere, such as in the body of a request that was dropped.
 */
const dropAfter = (request: Http.IncomingMessage): void => {
  const { socket } = request
  // Node passes chunks to listeners, and no longer directly to its parser, from the first listener on.
  socket.on("data", () => {})
  const listeners = socket.listeners("data")
  socket.removeAllListeners("data")
  socket.on("data", (chunk) => {
    if (!request.complete) listeners.forEach((listener) => listener.call(socket, chunk))
  })
}

/**
 * Lets Node serve requests for other upgrades that have a body as ordinary ones, where it can: from Node 26 on, it reads
 * the body itself. Returns whether a request is one of those, after which its connection must close.
 */
export const refuseUpgrades = (server: UpgradingServer): (request: Http.IncomingMessage) => boolean => {
  const { shouldUpgradeCallback } = server
  const refused = new WeakSet<Http.IncomingMessage>()
  if (shouldUpgradeCallback !== undefined) {
    server.shouldUpgradeCallback = (request) => {
      const upgrades = takesUpgrade(server, request)
        ? shouldUpgradeCallback.call(server, request)
        : !hasBody(request)
      if (!upgrades) {
        refused.add(request)
        dropAfter(request)
      }
      return upgrades
    }
  }
  return (request) => refused.has(request)
}

/**
 * Does for a socket what the listeners did that Node removes as soon as an upgrade arrives, while the responses before it are
 * pending. Returns how to stop.
 *
 * Node pauses a socket while much of its responses is unsent, and never resumes it after an upgrade: nothing more would
 * arrive, not even the end of a client that has gone. The stream believes that it is reading; an empty chunk ends that read,
 * so that the stream begins another. Node also no longer tells a response that its client has made room.
 */
export const superviseUpgrade = (socket: Net.Socket, pending: () => ReadonlyArray<Http.ServerResponse>): () => void => {
  const onDrain = () => {
    for (const response of pending()) {
      if (response.socket === socket && response.writableNeedDrain) response.emit("drain")
    }
  }
  socket.push("")
  socket.on("drain", onDrain)
  return () => void socket.off("drain", onDrain)
}

/** Refuses an upgrade past the HTTP parser, which Node has ended, when no response of the socket is pending. */
export const rejectUpgrade = (socket: Net.Socket): void => void socket.end(serviceUnavailable, () => socket.destroy())

/** Node's limit of header names and values together, where the server does not set one of headers. */
const maxHeaderPairs = 2000

/** Node leaves out the headers above the limit: what it has left out may change what the request means. */
const isComplete = ({ maxHeadersCount }: UpgradingServer, { rawHeaders }: Http.IncomingMessage): boolean => {
  const limit = typeof maxHeadersCount === "number" ? maxHeadersCount * 2 : maxHeaderPairs
  return limit === 0 || rawHeaders.length < limit
}

const hopHeaders = ["upgrade", "http2-settings"]

/** The head of the request without its wish for an upgrade. */
const ordinaryHead = ({ httpVersion, method, rawHeaders, url }: Http.IncomingMessage): string => {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name, value] = [rawHeaders[index]!, rawHeaders[index + 1]!]
    if (hopHeaders.includes(name.toLowerCase())) continue
    if (name.toLowerCase() !== "connection") lines.push(`${name}: ${value}`)
    else {
      const options = value.split(",").map((_) => _.trim()).filter((_) => !hopHeaders.includes(_.toLowerCase()))
      if (options.length > 0) lines.push(`${name}: ${options.join(", ")}`)
    }
  }
  return `${lines.join("\r\n")}\r\n\r\n`
}

/**
 * Serves the request of an `upgrade` event as an ordinary one. Node has ended the HTTP parser of its socket, so the socket
 * gets the request again, without the headers of the upgrade, and the server gets the socket again. Call it when no
 * response of the socket is pending.
 */
export const serveAsOrdinary = (
  server: Net.Server,
  request: Http.IncomingMessage,
  socket: Net.Socket,
  body: Buffer
): void => {
  if (socket.destroyed) return
  if (!isComplete(server, request)) return void socket.end(headersTooLarge, () => socket.destroy())
  socket.unshift(Buffer.concat([Buffer.from(ordinaryHead(request), "latin1"), body]))
  server.emit("encrypted" in socket ? "secureConnection" : "connection", socket)
}
