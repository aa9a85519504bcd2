import { Effect, type Exit, type Fiber, Option, Supervisor } from "effect"

/** The parts of an operation that say something to a reader. The run loop's operations have no public type. */
interface Operation {
  readonly _op: string
  readonly effect_instruction_i0?: unknown
  readonly effect_instruction_i1?: unknown
}

const maxText = 60
const maxFibers = 4

const kinds: Record<string, string> = {
  OnSuccess: "then",
  OnFailure: "catch",
  OnSuccessAndFailure: "finally",
  UpdateRuntimeFlags: "region",
  WithRuntime: "run",
  Commit: "suspend",
  Iterator: "gen",
  Success: "succeed",
  Failure: "fail"
}

/** The source of a callback, or a value that is short by nature. Big values are not printed: labels must be cheap. */
const text = (part: unknown): string | undefined => {
  if (typeof part === "string") return JSON.stringify(part.slice(0, maxText))
  if (typeof part === "number" || typeof part === "boolean") return String(part)
  if (typeof part !== "function") return undefined
  const source = Function.prototype.toString.call(part).replace(/\s+/g, " ")
  return source.length > maxText ? `${source.slice(0, maxText)}...` : source
}

/** For `flatMap` and its like the continuation says more than what comes before it, which is the next operation. */
const telling = (operation: Operation): string | undefined =>
  text(operation.effect_instruction_i1) ?? text(operation.effect_instruction_i0)

const describe = (operation: Operation): string => {
  const kind = kinds[operation._op] ?? operation._op.toLowerCase()
  const told = telling(operation)
  return told === undefined ? kind : `${kind} ${told}`
}

interface Step {
  /** What the fiber runs next, or waits in. */
  current?: Operation
  /** The last operation that can be told by its source. */
  told?: Operation
}

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * Follows the fibers of one run, so that a point can be named: which fiber, in which span, about to run what.
 *
 * @internal
 */
export class InterruptionTrace extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void
  private readonly names = new Map<number, string>()
  private readonly alive = new Map<AnyFiber, Step>()
  private forked = 0
  private kind = "fiber of setup"

  /** Names the program's first fiber, and from here on numbers those it starts. */
  nameRoot(fiber: AnyFiber) {
    this.names.set(fiber.id().id, "root")
    this.kind = "fiber"
    this.forked = 0
  }

  /** What is about to run on the fiber, or that all wait. */
  label(fiber: AnyFiber | undefined): string {
    if (fiber === undefined) return `every fiber waits: ${this.waiting()}`
    return `${this.place(fiber)}: ${this.doing(this.alive.get(fiber))}`
  }

  /** Who is still there, and what each of them ran last. */
  waiting(): string {
    const fibers = Array.from(this.alive, ([fiber, step]) => `${this.place(fiber)} (${this.doing(step)})`)
    const more = fibers.length > maxFibers ? `, and ${fibers.length - maxFibers} more` : ""
    return fibers.length === 0 ? "nobody is left" : fibers.slice(0, maxFibers).join(", ") + more
  }

  override onStart(_context: unknown, _effect: unknown, _parent: unknown, fiber: AnyFiber) {
    this.names.set(fiber.id().id, `${this.kind} ${++this.forked}`)
    this.alive.set(fiber, {})
  }

  override onEnd(_exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber) {
    this.alive.delete(fiber)
  }

  override onEffect(fiber: AnyFiber, effect: unknown) {
    const step = this.alive.get(fiber)
    if (step === undefined) return
    if (step.current !== undefined && typeof step.current.effect_instruction_i0 === "function") step.told = step.current
    step.current = effect as Operation
  }

  private doing(step: Step | undefined): string {
    if (step?.current === undefined) return "start"
    const next = describe(step.current)
    return telling(step.current) === undefined && step.told !== undefined
      ? `${next} after ${describe(step.told)}`
      : next
  }

  private place(fiber: AnyFiber): string {
    const name = this.names.get(fiber.id().id) ?? "a fiber"
    const spans: Array<string> = []
    let span = fiber.currentSpan
    while (span?._tag === "Span") {
      spans.unshift(span.name)
      span = Option.getOrUndefined(span.parent)
    }
    return spans.length === 0 ? name : `${name} in ${spans.join(" > ")}`
  }
}
