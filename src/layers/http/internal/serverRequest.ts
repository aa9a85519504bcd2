import * as NodeMultipart from "@effect/platform-node/NodeMultipart"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Cookies from "@effect/platform/Cookies"
import type { Headers } from "@effect/platform/Headers"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Multipart from "@effect/platform/Multipart"
import type * as Socket from "@effect/platform/Socket"
import * as UrlParams from "@effect/platform/UrlParams"
import { Effect, Inspectable, Option, type Scope, type Stream } from "effect"
import type * as Http from "node:http"
import type { Http1Exchange } from "./http1.js"
import { readText } from "./requestBody.js"
import type { RequestSpan } from "./requestSpan.js"

interface Overrides {
  readonly url?: string | undefined
  readonly headers?: Headers | undefined
  readonly remoteAddress?: string | undefined
}

const noOverrides: Overrides = {}

type RequestError = HttpServerError.RequestError

/** What the handling of a request keeps, shared by all that `modify` makes of the request. */
export class RequestState {
  span: RequestSpan | undefined = undefined
  /** A response is written, or has failed to be. */
  responded = false
  constructor(readonly exchange: Http1Exchange, readonly scope: Scope.CloseableScope) {}
}

/**
 * A request as handlers see it. The platform's own class is not exported; `source` and `response` have the names that its
 * `toIncomingMessage` and `toServerResponse` expect.
 */
export class ServerRequest extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  private cachedText: Effect.Effect<string, RequestError> | undefined = undefined
  private cachedCookies: Readonly<Record<string, string>> | undefined = undefined
  private cachedMultipart: HttpServerRequest.HttpServerRequest["multipart"] | undefined = undefined

  constructor(readonly state: RequestState, private readonly overrides: Overrides = noOverrides) {
    super()
  }
  get source(): Http.IncomingMessage {
    return this.state.exchange.request
  }
  get response(): Http.ServerResponse {
    return this.state.exchange.response
  }
  get url(): string {
    return this.overrides.url ?? this.source.url!
  }
  get originalUrl(): string {
    return this.source.url!
  }
  get method(): HttpMethod {
    return this.source.method!.toUpperCase() as HttpMethod
  }
  get headers(): Headers {
    return this.overrides.headers ?? this.source.headers as Headers
  }
  get remoteAddress(): Option.Option<string> {
    return Option.fromNullable(this.overrides.remoteAddress ?? this.source.socket.remoteAddress)
  }
  get cookies(): Readonly<Record<string, string>> {
    return this.cachedCookies ??= Cookies.parseHeader(this.headers["cookie"] ?? "")
  }
  get text(): Effect.Effect<string, RequestError> {
    return this.cachedText ??= readText(this.source, this.decodeError)
  }
  get json(): Effect.Effect<unknown, RequestError> {
    return Effect.tryMap(this.text, {
      try: (text) => text === "" ? null : JSON.parse(text) as unknown,
      catch: this.decodeError
    })
  }
  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, RequestError> {
    return Effect.tryMap(this.text, {
      try: (text) => UrlParams.fromInput(new URLSearchParams(text)),
      catch: this.decodeError
    })
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer, RequestError> {
    return Effect.flatMap(HttpIncomingMessage.MaxBodySize, (maxBytes) =>
      NodeStream.toUint8Array(() => this.source, {
        onFailure: this.decodeError,
        maxBytes: Option.getOrUndefined(maxBytes)
      }) as Effect.Effect<never, RequestError>)
  }
  get stream(): Stream.Stream<Uint8Array, RequestError> {
    return NodeStream.fromReadable<RequestError, Uint8Array>(() => this.source, this.decodeError)
  }
  get multipart(): HttpServerRequest.HttpServerRequest["multipart"] {
    return this.cachedMultipart ??= cachedLazily(NodeMultipart.persisted(this.source, this.source.headers))
  }
  get multipartStream(): Stream.Stream<Multipart.Part, Multipart.MultipartError> {
    return NodeMultipart.stream(this.source, this.source.headers)
  }
  get upgrade(): Effect.Effect<Socket.Socket, RequestError> {
    const description = "not an upgradeable ServerRequest"
    return Effect.fail(new HttpServerError.RequestError({ request: this, reason: "Decode", description }))
  }
  modify({ headers, remoteAddress, url }: Overrides): HttpServerRequest.HttpServerRequest {
    const { overrides } = this
    return new ServerRequest(this.state, {
      url: url ?? overrides.url,
      headers: headers ?? overrides.headers,
      remoteAddress: remoteAddress ?? overrides.remoteAddress
    })
  }
  override toString(): string {
    return `ServerRequest(${this.method} ${this.url})`
  }
  override toJSON(): unknown {
    const _id = "@effect/platform/HttpServerRequest"
    return HttpIncomingMessage.inspect(this, { _id, method: this.method, url: this.originalUrl })
  }
  private get decodeError(): (cause: unknown) => RequestError {
    return (cause) => new HttpServerError.RequestError({ request: this, reason: "Decode", cause })
  }
}

/** `Effect.cached`, made by the first run. */
const cachedLazily = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  let cached: Effect.Effect<A, E, R> | undefined
  return Effect.suspend(() =>
    cached ?? Effect.flatMap(Effect.cached(effect), (first) => {
      cached = first
      return first
    })
  )
}
