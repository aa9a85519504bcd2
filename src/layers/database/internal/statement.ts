import { Effect } from "effect"
import type { Around, DriverConnection, QueryExit, RowMode } from "./driverConnection.js"

/** A statement that was given to a connection. */
export class Statement {
  exit: QueryExit | undefined
  isCancelled = false
  /** How often `destroyIfSilent` has found it in flight since something arrived. */
  sightings = 0
  /** How often in a row the server has said that it does not work on it. */
  denials = 0
  private arrived = 0
  private waiters: Array<() => void> | undefined

  constructor(
    readonly text: string,
    readonly send: (driver: DriverConnection, done: (exit: QueryExit) => void, before: ReadonlyArray<string>) => void,
    /** Not called after a cancellation. */
    private readonly onExit?: (exit: QueryExit) => void,
    /** Whether statements can be sent in one message before it. */
    readonly takesOthers = false
  ) {}

  end(exit: QueryExit) {
    this.exit = exit
    if (!this.isCancelled) this.onExit?.(exit)
    this.waiters?.forEach((waiter) => waiter())
  }

  /** Counts one more look at it, while nothing arrives. Returns how many there were. */
  sight(arrived: number): number {
    if (this.sightings > 0 && this.arrived !== arrived) this.isWorkedOn()
    this.arrived = arrived
    return ++this.sightings
  }

  /** The server works on it: it is not silent. */
  isWorkedOn() {
    this.sightings = 0
    this.denials = 0
  }

  /** Completes with the answer. */
  get ended(): Effect.Effect<void> {
    return Effect.async((resume) => {
      if (this.exit !== undefined) resume(Effect.void)
      else (this.waiters ??= []).push(() => resume(Effect.void))
    })
  }
}

/** One that sends a text with these values. */
export const statementOf = (
  text: string,
  values: ReadonlyArray<unknown>,
  rowMode: RowMode,
  onExit?: (exit: QueryExit) => void,
  around?: Around
) =>
  new Statement(
    text,
    (driver, done, opening) =>
      driver.send(
        text,
        values,
        rowMode,
        done,
        opening.length === 0 ? around : { before: [...opening, ...around?.before ?? []], after: around?.after ?? [] }
      ),
    onExit,
    // One without values may be several.
    values.length > 0
  )
