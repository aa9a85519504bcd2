/**
 * The part of `@effect/platform`'s `HttpServer` that ours has under the same names: everything but `make` and
 * `layerContext`.
 */
import * as Platform from "@effect/platform/HttpServer"
import { Effect, Layer } from "effect"
import { urlOf } from "./listener.js"

export {
  /**
   * The address of a server: a `TcpAddress` or a `UnixAddress`.
   *
   * @since 0.1.0
   * @category address
   */
  type Address,
  /**
   * Runs an effect with the address of the server as a URL.
   *
   * @since 0.1.0
   * @category address
   */
  addressFormattedWith,
  /**
   * Runs an effect with the address of the server.
   *
   * @since 0.1.0
   * @category address
   */
  addressWith,
  /**
   * Formats an address as a URL.
   *
   * @since 0.1.0
   * @category address
   */
  formatAddress,
  /**
   * The service: `serve`, and the `address` that the server listens on. The Tag of `@effect/platform`.
   *
   * @since 0.1.0
   * @category tags
   */
  HttpServer,
  /**
   * An `HttpClient` whose requests go to the server, made from another `HttpClient`. `layerTest` includes it.
   *
   * @since 0.1.0
   * @category layers
   */
  layerTestClient,
  /**
   * Serves an app as a layer. The layer's release drains the requests of the app.
   *
   * @since 0.1.0
   * @category accessors
   */
  serve,
  /**
   * Serves an app until the current scope closes, which drains the requests of the app.
   *
   * @since 0.1.0
   * @category accessors
   */
  serveEffect,
  /**
   * Options that `@effect/platform` declares and does not use.
   *
   * @since 0.1.0
   * @category models
   */
  type ServeOptions,
  /**
   * The host name and port of a server.
   *
   * @since 0.1.0
   * @category address
   */
  type TcpAddress,
  /**
   * Identifies implementations of the service at run time.
   *
   * @since 0.1.0
   * @category type ids
   */
  TypeId,
  /**
   * The path of the Unix socket of a server.
   *
   * @since 0.1.0
   * @category address
   */
  type UnixAddress
} from "@effect/platform/HttpServer"

/**
 * Logs the address of the server as a URL, such as `listening on http://[::1]:3000`. No layer of this module logs it, because
 * apps do so themselves: with this one, with the platform's, or with `HttpLayerRouter.serve`.
 *
 * @since 0.1.0
 * @category address
 */
export const logAddress: Effect.Effect<void, never, Platform.HttpServer> = Platform.addressWith((address) =>
  Effect.logInfo(`listening on ${urlOf(address)}`)
)

/**
 * Adds `logAddress` to a layer. Around the layer of the server it logs when the server listens, and around that of the app
 * when the app is served.
 *
 * @since 0.1.0
 * @category address
 */
export const withLogAddress = <A, E, R>(
  layer: Layer.Layer<A, E, R>
): Layer.Layer<A, E, R | Exclude<Platform.HttpServer, A>> => Layer.provideMerge(Layer.effectDiscard(logAddress), layer)
