import * as Net from "node:net"
import type { Connection } from "./connection.js"
import type { ConnectionDrainPolicy, Hibernation } from "./connectionDrainPolicy.js"
import { Http1Connection } from "./http1.js"

const connectionKey = Symbol.for("lastcall/http/Connection")

/** A socket has its connection, or, while that hibernates, the number of bytes read when it became idle. */
interface Tagged extends Net.Socket {
  [connectionKey]?: Http1Connection | number
}

const ignoreError = (): void => {}

/**
 * The sockets of HTTP/1.1, and those that become a socket of TLS or an HTTP/2 session. Most of many connections are idle: one
 * that has had a request hibernates until the next, without an object and listeners of its own.
 */
export class Http1Sockets implements Hibernation {
  /** Those whose connection hibernates, or has hibernated. */
  private readonly idle = new Set<Tagged>()
  /** One function for all sockets. */
  private readonly onClose: (this: Tagged) => void
  private readonly onDestroy: Net.Socket["_destroy"]

  constructor(private readonly policy: ConnectionDrainPolicy) {
    const { idle } = this
    const connectionOf = (socket: Net.Socket) => this.connectionOf(socket)
    const onClose = function(this: Tagged) {
      idle.delete(this)
      policy.onConnectionClosed(connectionOf(this))
    }
    this.onClose = onClose
    this.onDestroy = function(this: Tagged, error, callback) {
      this.prependListener("close", onClose)
      // Node removes its own listener on an upgrade, and an `error` event without a listener ends the process.
      if (error !== null) this.on("error", ignoreError)
      // Node knows the address of a closed socket only if it was read before, and a request may outlive its socket.
      void this.remoteAddress
      const prototype = Object.getPrototypeOf(this) as Net.Socket
      prototype._destroy.call(this, error, callback)
    }
  }

  has(socket: Net.Socket): boolean {
    return connectionKey in socket
  }
  open(socket: Net.Socket, transport = socket): Http1Connection {
    const connection = new Http1Connection(socket, transport)
    const tagged: Tagged = socket
    tagged[connectionKey] = connection
    this.policy.onConnectionOpened(connection)
    this.watch(socket)
    return connection
  }
  connectionOf(socket: Net.Socket): Http1Connection {
    const connection = (socket as Tagged)[connectionKey]
    if (typeof connection === "object") return connection
    return connection === undefined ? this.open(socket) : this.resume(socket, connection)
  }

  hibernate(connection: Connection): boolean {
    if (!(connection instanceof Http1Connection) || !connection.canHibernate) return false
    const socket: Tagged = connection.socket
    socket[connectionKey] = connection.bytesReadWhenIdle
    this.idle.add(socket)
    return true
  }
  resumeAll(): void {
    for (const socket of this.idle) this.connectionOf(socket)
  }
  private resume(socket: Tagged, bytesReadWhenIdle: number): Http1Connection {
    const connection = new Http1Connection(socket)
    connection.bytesReadWhenIdle = bytesReadWhenIdle
    socket[connectionKey] = connection
    this.policy.onConnectionResumed(connection)
    return connection
  }

  /**
   * Reports the end of the socket. Listeners from the start would make arrays of Node's own ones, which hold more than all
   * else of an idle connection; so a socket gets them when it is destroyed, in the method that streams have for it.
   */
  private watch(socket: Net.Socket): void {
    if (socket instanceof Net.Socket && !socket.destroyed && !Object.hasOwn(socket, "_destroy")) {
      socket._destroy = this.onDestroy
    } else socket.on("error", ignoreError).on("close", this.onClose)
  }
}
