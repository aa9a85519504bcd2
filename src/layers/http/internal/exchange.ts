import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { Context, type Fiber, FiberId, Option } from "effect"
import type * as Http from "node:http"
import { type Connection, Exchange } from "./connection.js"

const key = Symbol.for("lastcall/http/Exchange")

interface Tagged extends Http.IncomingMessage {
  [key]?: Handled | undefined
}

export const find = (request: Http.IncomingMessage): Handled | undefined => (request as Tagged)[key]

/** An exchange whose handler is a fiber. */
export abstract class Handled extends Exchange {
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined

  constructor(connection: Connection, readonly request: Http.IncomingMessage, counted: boolean, longLived: boolean) {
    super(connection, counted, longLived)
    const tagged: Tagged = request
    tagged[key] = this
  }

  interrupt(): void {
    this.interruptAs(FiberId.none)
  }

  /** The handler is told that its client has gone: an answer would be a 499. */
  abort(): void {
    this.interruptAs(HttpServerError.clientAbortFiberId)
  }

  /**
   * Node's parser keeps the last request of every connection. Were all of its exchange to hang on that, each collection
   * would carry it along: that alone made a request a sixth dearer.
   */
  forget(): void {
    const tagged: Tagged = this.request
    tagged[key] = undefined
    this.fiber = undefined
  }

  /**
   * Interrupts the handler, unless its route was declared `uninterruptible`: the whole app runs interruptibly here, so
   * what the router promised to such a route is kept here.
   */
  private interruptAs(by: FiberId.FiberId): void {
    const { fiber } = this
    if (fiber === undefined || this.handled) return
    const routed = Context.getOption(fiber.currentContext as Context.Context<unknown>, HttpRouter.RouteContext)
    if (Option.isSome(routed) && routed.value.route.uninterruptible) {
      // Stock hears of a client's end after us, and asks nobody.
      fiber.unsafeInterruptAsFork = () => {}
      return
    }
    fiber.unsafeInterruptAsFork(by)
  }
}
