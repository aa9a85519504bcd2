/**
 * The program of a `ThreadConnection`. It owns the socket. It passes bytes between it and the main thread until that says that the
 * connection is ready; then it sends messages by itself while the main thread does not answer.
 *
 * `protocol` is the text of an object: `encode(message, texts)` makes the bytes of one message, and `reader()` a function of bytes that
 * returns how many messages they answer, and the first error in them. As text, so that the thread needs no file beside the bundle.
 */
export const threadProgram = (protocol: string): string => `
const { parentPort } = require("node:worker_threads")
const net = require("node:net")
const tls = require("node:tls")
const protocol = ${protocol}

const now = () => Number(process.hrtime.bigint()) / 1e6
const post = (type, value) => parentPort.postMessage({ id: connection?.id, type, value })
const repeaters = new Map()
let connection
/** When the main thread was asked whether it runs; undefined when it has answered. */
let askedAt

const lose = (lost, error) => {
  if (lost !== connection) return
  post("lost", error instanceof Error ? error.message || error.code : error)
  lost.socket.destroy()
  connection = undefined
}

const opened = (own, socket) => {
  own.socket = socket
  socket.on("data", (data) => {
    if (own.read === undefined) return post("data", data)
    const { answers, error } = own.read(data)
    own.unanswered -= answers
    // While the main thread is blocked, the next message is tried all the same.
    if (error !== undefined) post("refused", error)
  })
  post("connect")
}

const connect = ({ id, place, secure }) => {
  const socket = net.connect({ ...place, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10000 })
  const own = connection = { id, socket, read: undefined, unanswered: 0, sentAt: 0 }
  const guard = (socket) => {
    socket.on("error", (error) => lose(own, error))
    socket.on("close", () => lose(own, "the connection ended"))
  }
  guard(socket)
  socket.once("connect", () => {
    if (secure === undefined) return opened(own, socket)
    const upgrade = () => {
      const name = net.isIP(place.host ?? "") === 0 && place.host ? { servername: place.host } : {}
      const secured = tls.connect({ ...secure.options, ...name, socket })
      guard(secured)
      secured.once("secureConnect", () => opened(own, secured))
    }
    if (secure.request === undefined) return upgrade()
    socket.write(secure.request)
    socket.once("data", (answer) =>
      answer.length === 1 && answer[0] === secure.accepts ? upgrade() : lose(own, "the server does not support TLS"))
  })
}

const send = ({ message }, texts) => {
  connection.sentAt = now()
  connection.unanswered++
  connection.socket.write(protocol.encode(message, texts))
}

/** None while the main thread is writing it, which it is not when it is blocked. */
const held = ({ slots }) =>
  slots.flatMap(({ bytes, head }) => {
    const version = Atomics.load(head, 0)
    const text = bytes.toString("utf8", 0, Atomics.load(head, 1))
    return text === "" || Atomics.load(head, 0) !== version ? [] : [text]
  })

const tick = (repeater) => {
  const texts = held(repeater)
  if (texts.length === 0) return
  const time = now()
  if (askedAt === undefined) {
    askedAt = time
    return post("ask")
  }
  const silent = time - askedAt
  // Another repeater may have asked just now.
  if (silent < repeater.every / 2 || silent > repeater.longest || time > repeater.until) return
  if (connection?.read === undefined) return
  if (connection.unanswered === 0) send(repeater, texts)
  else if (time - connection.sentAt > 8 * repeater.every) lose(connection, "the server does not answer")
}

const handlers = {
  connect,
  write: ({ data, id }) => connection?.id === id && connection.socket.write(data),
  destroy: ({ id }) => {
    if (connection?.id !== id) return
    connection.socket.destroy()
    connection = undefined
  },
  // What cannot be sent is found at once: each message is sent without texts first.
  ready: ({ id }) => {
    if (connection?.id !== id) return
    connection.read = protocol.reader()
    for (const repeater of repeaters.values()) send(repeater, [])
  },
  add: ({ key, ...options }) => {
    const repeater = { ...options, slots: [], until: Infinity }
    repeater.timer = setInterval(() => tick(repeater), repeater.every)
    repeaters.set(key, repeater)
    if (connection?.read !== undefined) send(repeater, [])
  },
  slot: ({ key, memory }) =>
    repeaters.get(key)?.slots.push({ head: new Int32Array(memory, 0, 2), bytes: Buffer.from(memory, 8) }),
  limit: ({ key, within }) => {
    const repeater = repeaters.get(key)
    if (repeater !== undefined) repeater.until = now() + within
  },
  remove: ({ key }) => {
    clearInterval(repeaters.get(key)?.timer)
    repeaters.delete(key)
  },
  answer: () => {
    askedAt = undefined
  }
}
parentPort.on("message", ({ type, ...rest }) => handlers[type](rest))
`
