import { Chunk, Clock, Context, DefaultServices, type Exit, FiberRef, FiberRefs, HashMap, Option, Tracer } from "effect"
import { refsOf } from "./effectInternals.js"
import type { RunningFiber } from "./fiberState.js"

/**
 * A span of Effect's own tracer, which exports it nowhere: it is made when something reads it, such as a span below it, or an
 * error that is printed. Until then it costs a list of what is to be recorded.
 */
export class LazySpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = true
  readonly context = Context.empty()
  private span: Tracer.Span | undefined = undefined
  private records: Array<(span: Tracer.Span) => void> | undefined = undefined
  private ended = false

  constructor(readonly kind: Tracer.SpanKind, private readonly make: () => Tracer.Span) {}

  get name(): string {
    return this.made.name
  }
  get spanId(): string {
    return this.made.spanId
  }
  get traceId(): string {
    return this.made.traceId
  }
  get parent(): Option.Option<Tracer.AnySpan> {
    return this.made.parent
  }
  get status(): Tracer.SpanStatus {
    return this.made.status
  }
  get attributes(): ReadonlyMap<string, unknown> {
    return this.made.attributes
  }
  get links(): ReadonlyArray<Tracer.SpanLink> {
    return this.made.links
  }
  /** Of the tracer's own spans, and not of the interface. */
  get events(): unknown {
    return (this.made as { readonly events?: unknown }).events
  }
  attribute(key: string, value: unknown): void {
    this.record((span) => span.attribute(key, value))
  }
  event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
    this.record((span) => span.event(name, startTime, attributes))
  }
  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    this.record((span) => span.addLinks(links))
  }
  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (this.ended) return
    this.ended = true
    this.record((span) => span.end(endTime, exit))
  }
  record(write: (span: Tracer.Span) => void): void {
    if (this.span !== undefined) write(this.span)
    else if (this.records === undefined) this.records = [write]
    else this.records.push(write)
  }
  private get made(): Tracer.Span {
    if (this.span === undefined) {
      this.span = this.make()
      for (const write of this.records ?? []) write(this.span)
      this.records = undefined
    }
    return this.span
  }
}

/** The tracer of the fiber when it is Effect's own. Any other one may look at every span, so that each has to be made. */
const tracerOfEffect = (fiber: RunningFiber): Tracer.Tracer | undefined => {
  const services = fiber.currentDefaultServices as Context.Context<Tracer.Tracer>
  const tracer = Context.get(services, Tracer.Tracer)
  const ofEffect = Context.get(DefaultServices.liveServices as Context.Context<Tracer.Tracer>, Tracer.Tracer)
  return tracer === ofEffect ? tracer : undefined
}

/** Whether nothing exports the spans of the fiber. */
export const exportsNoSpans = (fiber: RunningFiber): boolean =>
  tracerOfEffect(fiber) !== undefined || !fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** What a span is made of. */
interface SpanOptions {
  readonly name: string
  /** `internal` by default. */
  readonly kind?: Tracer.SpanKind
  /** None by default. */
  readonly parent?: () => Option.Option<Tracer.AnySpan>
  readonly attributes: () => Readonly<Record<string, unknown>>
}

/** Starts and ends spans, each made when something reads it, by the refs that the fiber had when it asked for this. */
export class LazySpans {
  private readonly refs: FiberRefs.FiberRefs
  private readonly clock: Clock.Clock
  private readonly timed: boolean

  constructor(fiber: RunningFiber, private readonly tracer: Tracer.Tracer) {
    this.refs = refsOf(fiber)
    this.clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
    this.timed = fiber.getFiberRef(FiberRef.currentTracerTimingEnabled)
  }

  /** Now, or at this time of the clock. */
  start(options: SpanOptions, at?: bigint): LazySpan {
    const startTime = this.time(at)
    return new LazySpan(options.kind ?? "internal", () => this.make(options, startTime))
  }

  end(span: LazySpan, exit: Exit.Exit<unknown, unknown>, at?: bigint): void {
    span.end(this.time(at), exit)
  }

  private make(
    { attributes, kind = "internal", name, parent = Option.none }: SpanOptions,
    startTime: bigint
  ): Tracer.Span {
    const links = Chunk.toReadonlyArray(FiberRefs.getOrDefault(this.refs, FiberRef.currentTracerSpanLinks))
    const made = this.tracer.span(name, parent(), Context.empty(), links, startTime, kind)
    HashMap.forEach(
      FiberRefs.getOrDefault(this.refs, FiberRef.currentTracerSpanAnnotations),
      (value, key) => made.attribute(key, value)
    )
    for (const [key, value] of Object.entries(attributes())) made.attribute(key, value)
    return made
  }

  private time(at: bigint | undefined): bigint {
    return this.timed ? at ?? this.clock.unsafeCurrentTimeNanos() : BigInt(0)
  }
}

/** Undefined unless the tracer of the fiber is Effect's own. */
export const lazySpans = (fiber: RunningFiber): LazySpans | undefined => {
  const tracer = tracerOfEffect(fiber)
  return tracer === undefined || !fiber.getFiberRef(FiberRef.currentTracerEnabled)
    ? undefined
    : new LazySpans(fiber, tracer)
}
