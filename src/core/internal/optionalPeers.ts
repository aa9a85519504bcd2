import { Array, Data, Effect, Predicate } from "effect"

/** Packages that the used module needs are not installed. A defect: no program can go on without them. */
class MissingPackages extends Data.TaggedError("MissingPackages")<{
  readonly message: string
  readonly packages: ReadonlyArray<string>
}> {}

/**
 * For the `catch` of each import of an optional peer. Bundlers (esbuild, webpack) resolve such an import when the package
 * is installed, and leave it as it is when it is not; without a `catch` an app that never uses the package would not bundle.
 */
export const rethrow = (error: unknown): never => {
  throw error
}

/** The package that an import did not find, if that is why it failed. */
const missingPackage = (error: unknown): string | undefined =>
  error instanceof Error && Predicate.hasProperty(error, "code") &&
    (error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND")
    ? /^Cannot find (?:package|module) '((?:@[^/']+\/)?[^./'][^/']*)/.exec(error.message)?.[1]
    : undefined

/** The ranges in which lastcall works with its peers, of which each optional one is here. */
const peerRanges = async (): Promise<Readonly<Record<string, string>>> => {
  const { default: manifest } = await import("../../../package.json", { with: { type: "json" } })
  return manifest.peerDependencies
}

/**
 * Imports the optional peers of a module, all of them before any is used. When some are missing, dies with one error that names
 * them all and the command that installs them; when one fails otherwise, with its error.
 */
export const optionalPeers = <Peers extends Readonly<Record<string, unknown>>>(
  module: string,
  imports: { readonly [Name in keyof Peers]: () => Promise<Peers[Name]> }
): Effect.Effect<Peers> =>
  Effect.promise(async () => {
    const names = Object.keys(imports) as Array<keyof Peers & string>
    const loaded = await Promise.allSettled(names.map((name) => imports[name]()))
    const errors = loaded.flatMap((result) => result.status === "rejected" ? [result.reason as unknown] : [])
    if (errors.length > 0) {
      const ranges = await peerRanges()
      const packages = Array.dedupe(errors.map(missingPackage)).filter((name) => name !== undefined && name in ranges)
      if (packages.length === 0) throw errors[0]
      throw new MissingPackages({
        packages: packages as ReadonlyArray<string>,
        message: `${module} needs packages that are not installed: npm install ${
          packages.map((name) => `${name}@${ranges[name!]}`).join(" ")
        }`
      })
    }
    return Object.fromEntries(
      loaded.map((result, index) => [names[index]!, (result as PromiseFulfilledResult<unknown>).value])
    ) as Peers
  })
