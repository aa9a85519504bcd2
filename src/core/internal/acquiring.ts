import { FiberRef, Option } from "effect"

/** The name of the resource that a fiber acquires. */
export const acquiring: FiberRef.FiberRef<Option.Option<string>> = FiberRef.unsafeMake(Option.none<string>())
