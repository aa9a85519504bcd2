import * as Headers from "@effect/platform/Headers"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import {
  Chunk,
  Clock,
  Context,
  DefaultServices,
  type Exit,
  FiberRef,
  FiberRefs,
  HashMap,
  Option,
  type Runtime,
  Tracer
} from "effect"
import { LazySpan } from "../../../core/internal/lazySpan.js"
import { describeRequest, describeResponse } from "./requestTracer.js"

type Services = Map<string, unknown>
type Make = (request: HttpServerRequest, startTime: bigint) => Tracer.Span

/** The spans of the requests of one server. */
export interface RequestSpans {
  /** Adds the span to the context of the request, unless the app has disabled the tracer for this request. */
  readonly start: (request: HttpServerRequest, context: Services) => RequestSpan | undefined
  /** Also removes the span from the context: finalizers of the request run outside of it. */
  readonly end: (span: RequestSpan, exit: Exit.Exit<HttpServerResponse, unknown>, context: Services) => void
}

/** The span of a request under Effect's own tracer. */
export type RequestSpan = LazySpan

/** The span that propagates to a span without a parent of its own, as `Effect.useSpan` finds it. */
const propagated = (span: Option.Option<Tracer.AnySpan>): Option.Option<Tracer.AnySpan> =>
  Option.flatMap(span, (span) => {
    if (!Context.get(span.context, Tracer.DisablePropagation)) return Option.some(span)
    return span._tag === "Span" ? propagated(span.parent) : Option.none()
  })

/**
 * The spans of requests, if the tracer is Effect's own. Undefined for every other one: it may look at any span, so that
 * `tracer` has to make them.
 */
export const requestSpans = ({ context, fiberRefs }: Runtime.Runtime<never>): RequestSpans | undefined => {
  const get = <A>(ref: FiberRef.FiberRef<A>): A => FiberRefs.getOrDefault(fiberRefs, ref)
  const services = get(DefaultServices.currentServices)
  const tracer = Context.get(services as Context.Context<Tracer.Tracer>, Tracer.Tracer)
  const ofEffect = Context.get(DefaultServices.liveServices as Context.Context<Tracer.Tracer>, Tracer.Tracer)
  if (tracer !== ofEffect || !get(FiberRef.currentTracerEnabled)) return undefined
  const outer: Tracer.AnySpan | undefined = context.unsafeMap.get(Tracer.ParentSpan.key)
  const isDisabled = get(HttpMiddleware.currentTracerDisabledWhen)
  const redactedNames = get(Headers.currentRedactedNames)
  const clock = Context.get(services, Clock.Clock)
  const now = get(FiberRef.currentTracerTimingEnabled) ? () => clock.unsafeCurrentTimeNanos() : () => BigInt(0)

  const make: Make = (request, startTime) => {
    const parent = Option.orElse(
      HttpTraceContext.fromHeaders(request.headers),
      () => propagated(Option.fromNullable(outer))
    )
    const name = Context.get(context, HttpMiddleware.SpanNameGenerator)(request)
    const links = Chunk.toReadonlyArray(get(FiberRef.currentTracerSpanLinks))
    const span = tracer.span(name, parent, Context.empty(), links, startTime, "server")
    HashMap.forEach(get(FiberRef.currentTracerSpanAnnotations), (value, key) => span.attribute(key, value))
    describeRequest(span, request, redactedNames)
    return span
  }
  return {
    start: (request, services) => {
      if (isDisabled(request)) return undefined
      const startTime = now()
      const span = new LazySpan("server", () => make(request, startTime))
      services.set(Tracer.ParentSpan.key, span)
      return span
    },
    end: (span, exit, services) => {
      span.record((span) => describeResponse(span, exit, redactedNames))
      span.end(now(), exit)
      if (outer === undefined) services.delete(Tracer.ParentSpan.key)
      else services.set(Tracer.ParentSpan.key, outer)
    }
  }
}
