// The API reference: `npm run docs` writes it to docs/api, and fails where a public module or export lacks its prose,
// its `@since` or its `@category`.
import { readFileSync } from "node:fs"
import { Converter, ReflectionKind } from "typedoc"

const { exports } = JSON.parse(readFileSync("package.json", "utf8"))

/** The sources of the public modules, by the exports of package.json; a barrel stands for its namespaces. */
const modules = Object.values(exports)
  .flatMap(({ "@lastcall/source": source }) => source ?? [])
  .flatMap((source) =>
    source === "./src/index.ts"
      ? []
      : source.endsWith("/index.ts")
      ? Array.from(readFileSync(source, "utf8").matchAll(/from "\.\/(\w+)\.js"/g), ([, name]) =>
        source.replace("index.ts", `${name}.ts`))
      : [source]
  )

const { Accessor, Class, Function, Interface, Method, Module, Property, TypeAlias, Variable } = ReflectionKind
const exported = Class | Function | Interface | TypeAlias | Variable
const field = Accessor | Method | Property

const commentOf = (reflection) =>
  reflection.comment ?? reflection.signatures?.[0]?.comment ?? reflection.getSignature?.comment

/** A field that is declared here, of an interface or class. An error's message is described by its class. */
const isOwnField = (reflection) =>
  reflection.kindOf(field) && reflection.parent.kindOf(Class | Interface) && !reflection.flags.isExternal &&
  reflection.inheritedFrom === undefined && !/^(message|\[.*)$/.test(reflection.name)

const gaps = (reflection) => {
  const comment = commentOf(reflection)
  const wanted = reflection.kindOf(Module)
    ? ["@since"]
    : reflection.kindOf(exported)
    ? ["@since", "@category"]
    : isOwnField(reflection)
    ? []
    : undefined
  return wanted === undefined ? [] : [
    ...(comment?.summary.length > 0 ? [] : ["a description"]),
    ...wanted.filter((tag) => comment?.getTag(tag) === undefined)
  ]
}

const requireDocs = (app) => {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      const missing = gaps(reflection)
      const file = reflection.sources?.[0]?.fullFileName ?? reflection.parent?.sources?.[0]?.fullFileName
      if (missing.length > 0) app.logger.error(`${reflection.getFullName()} lacks ${missing.join(" and ")} (${file})`)
    }
  })
}

export default {
  entryPoints: modules,
  tsconfig: "tsconfig.build.json",
  out: "docs/api",
  readme: "none",
  includeVersion: true,
  excludeExternals: true,
  excludeInternal: true,
  plugin: [requireDocs],
  // Each is spelled out in the description of the type that uses it.
  intentionallyNotExported: ["Probe", "Scalars", "BatchScalars"],
  validation: { invalidLink: true, notExported: true, notDocumented: false },
  treatValidationWarningsAsErrors: true
}
