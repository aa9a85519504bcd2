import { Effect, type Exit, type Fiber, Option, Supervisor } from "effect"
import { type Operation, operationOf } from "../../core/internal/effectInternals.js"

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

/** The source of a function, or a string, number or boolean. Other values are omitted: printing them can be slow. */
const text = (part: unknown): string | undefined => {
  if (typeof part === "string") return JSON.stringify(part.slice(0, maxText))
  if (typeof part === "number" || typeof part === "boolean") return String(part)
  if (typeof part !== "function") return undefined
  const source = Function.prototype.toString.call(part).replace(/\s+/g, " ")
  return source.length > maxText ? `${source.slice(0, maxText)}...` : source
}

/** The continuation where there is one, as in `flatMap`: the effect before it is the next operation and gets a label of its own. */
const detailOf = (operation: Operation): string | undefined =>
  text(operation.effect_instruction_i1) ?? text(operation.effect_instruction_i0)

const describe = (operation: Operation): string => {
  const kind = kinds[operation._op] ?? operation._op.toLowerCase()
  const detail = detailOf(operation)
  return detail === undefined ? kind : `${kind} ${detail}`
}

/** The source of the function that a suspended effect runs. */
export const sourceOf = (suspended: unknown): string => String(operationOf(suspended).commit)

interface Step {
  /** The operation that the fiber runs next, or waits in. */
  current?: Operation
  /** The last operation before it with a function, whose source identifies it. */
  lastWithSource?: Operation
  /** The last operation of the kind in which `Effect.async` is called. */
  lastCommit?: Operation
  /** How many fibers it has forked. */
  forks: number
}

/** A function in the source of `Effect.forEach` with concurrency, on the fiber that forks one fiber for each element. */
const forEachMark = "pushResult"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * Records the current operation of every fiber of a run, to describe a point: the fiber, its spans, and its next operation.
 *
 * @internal
 */
export class FiberTrace extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void
  private readonly names = new Map<number, string>()
  private readonly alive = new Map<AnyFiber, Step>()
  private running: AnyFiber | undefined
  private forked = 0
  private kind = "fiber of setup"

  /** Names the program's first fiber "root", and numbers the fibers that start after it. */
  nameRoot(fiber: AnyFiber) {
    this.names.set(fiber.id().id, "root")
    this.kind = "fiber"
    this.forked = 0
  }

  /** Describes the operation that the fiber is about to run, or, without a fiber, what every fiber waits in. */
  label(fiber: AnyFiber | undefined): string {
    if (fiber === undefined) return `every fiber waits: ${this.waiting()}`
    return `${this.place(fiber)}: ${this.doing(this.alive.get(fiber))}`
  }

  /** Lists the fibers that have not ended, each with its current operation. */
  waiting(): string {
    const fibers = Array.from(this.alive, ([fiber, step]) => `${this.place(fiber)} (${this.doing(step)})`)
    const more = fibers.length > maxFibers ? `, and ${fibers.length - maxFibers} more` : ""
    return fibers.length === 0 ? "no fiber is left" : fibers.slice(0, maxFibers).join(", ") + more
  }

  override onStart(_context: unknown, _effect: unknown, parent: Option.Option<AnyFiber>, fiber: AnyFiber) {
    this.names.set(fiber.id().id, `${this.kind} ${++this.forked}`)
    this.alive.set(fiber, { forks: 0 })
    // Without a parent it is the fiber that disturbs the program. The fibers of a forEach are not children of the one that forks them.
    const forker = this.running && this.alive.get(this.running)
    if (forker !== undefined && Option.isSome(parent)) forker.forks++
  }

  override onEnd(_exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber) {
    this.alive.delete(fiber)
  }

  override onEffect(fiber: AnyFiber, effect: unknown) {
    const step = this.alive.get(fiber)
    if (step === undefined) return
    if (typeof step.current?.effect_instruction_i0 === "function") step.lastWithSource = step.current
    step.current = operationOf(effect)
    if (step.current._op === "Commit") step.lastCommit = step.current
    this.running = fiber
  }

  /** Whether the fiber is about to run a suspended effect with this source. */
  isAbout(fiber: AnyFiber, source: string): boolean {
    const current = this.alive.get(fiber)?.current
    return current?._op === "Commit" && sourceOf(current) === source
  }

  /**
   * Why the fibers, which all wait, can only wait forever, if the reason is a fault of Effect's: an interruption that arrives while
   * a race or a concurrent `Effect.all` or `Effect.forEach` begins. Nothing but these operators leaves such fibers behind.
   */
  faultOfEffect(): string | undefined {
    for (const [fiber, { current, forks, lastCommit }] of this.alive) {
      if (current === undefined) return `Effect's race never starts ${this.place(fiber)}, and waits for it forever`
      if (forks === 0 && lastCommit !== undefined && text(lastCommit.effect_instruction_i0)?.includes(forEachMark)) {
        return "Effect's concurrent forEach was interrupted before it forked a fiber, and waits for one forever"
      }
    }
    return undefined
  }

  private doing(step: Step | undefined): string {
    if (step?.current === undefined) return "start"
    const next = describe(step.current)
    return detailOf(step.current) === undefined && step.lastWithSource !== undefined
      ? `${next} after ${describe(step.lastWithSource)}`
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
