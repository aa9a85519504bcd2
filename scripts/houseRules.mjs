// The house rules that ESLint has no rule for: who may import whom. Each has its reason as its message.
//
// `from` and `to` are tested against paths relative to the root without their ending ("src/layers/Drain"), `to` also
// against package names ("node:http", "pg"), and `unless` against the two together ("src/main -> src/programs/launch").
// `types` says that `import type` is free of the rule: it is gone when the code runs.
import { readFileSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const peers = Object.keys(JSON.parse(readFileSync(resolve(root, "package.json"), "utf8")).peerDependencies)

// TaskSupervisor and Health are no leaves: servers and pools are built with them, as with Drain.
const leaf = "(HttpServer|WorkerPool|JobSource\\w*|Database)"
/** An engine behind the contract: its leaf, and what it is made of. */
const engine = (name) => new RegExp(`^src/layers/(J|internal/j)obSource${name}(/\\w+)? -> `)
const ofEngine = "belongs to its JobSource engine: everything else sees the JobSource contract."

export const importRules = [
  {
    from: /^src\//,
    to: /^(test|bench|examples)\//,
    message: "src never imports test, bench or examples: what is shipped cannot lean on what is not."
  },
  {
    from: /^src\//,
    to: /^src\/(main|index)$/,
    message: "Nothing in src imports main or index: the one starts a process, the other imports everything."
  },
  {
    from: /^src\/layers\//,
    to: /^src\/(programs|testing)\//,
    message: "main -> programs -> layers -> layers/internal -> effect: a layer does not know who runs it."
  },
  {
    from: /^src\/layers\/internal\//,
    to: new RegExp(`^src/layers/${leaf}$`),
    unless: / -> src\/layers\/JobSource$/,
    types: true,
    message: "layers -> layers/internal -> effect: internals know the core and contracts, never the leaf they serve."
  },
  {
    from: /^src\/layers\/\w+$/,
    to: new RegExp(`^src/layers/${leaf}$`),
    unless:
      /^src\/layers\/((WorkerPool|JobContext|JobSource\w+) -> src\/layers\/JobSource|HttpServer -> src\/layers\/TaskSupervisor)$/,
    message: "Leaves meet only through Tags: a leaf that imports another can no longer be used, or replaced, alone."
  },
  {
    from: /^src\/programs\/(launch|internal\/.*)$/,
    to: new RegExp(`^src/layers/(${leaf}$|internal/(http|database|jobSource))`),
    message: "launch imports no leaf: it ends any app, also one without a server, a pool or a database."
  },
  {
    from: /^src\/programs\/(launch|internal\/.*)$/,
    to: /^src\/(programs\/importer|testing)\//,
    message: "launch is published and the importer is not; the test kit is built on launch, not the other way round."
  },
  {
    from: /^src\/(main|index|programs\/importer\/.*)$/,
    to: /^src\/(layers|programs)\/internal\//,
    message: "internal is for layers and launch: the reference service is made of what users have, or it shows nothing."
  },
  {
    from: /^src\/(main|index|programs\/importer\/.*)$/,
    to: /^src\/testing\//,
    message: "lastcall/testing is for tests: what is deployed, and the main entry, do not load it."
  },
  {
    from: /^src\/testing\//,
    to: /^src\/programs\/(?!launch$|internal\/)/,
    message: "testing may import layers, launch and its internals alone: the importer is not published with it."
  },
  {
    from: /^src\//,
    to: /^(node:)?(http|https|http2|net|tls)$/,
    unless: /^src\/(layers\/(HttpServer|internal\/http\/\w+) -> |programs\/importer\/App -> node:http$)/,
    message: "Node's servers and sockets belong to the HttpServer leaf: who opens one must also drain it."
  },
  {
    from: /^src\//,
    to: /^(pg|pg-(?!boss$).+|@electric-sql\/pglite|@effect\/sql-pg)$/,
    unless: /^src\/layers\/(Database|internal\/database\/\w+) -> /,
    message: "Database drivers belong to the Database leaf: everything else asks for SqlClient by its Tag."
  },
  {
    from: /^src\//,
    to: /^pg-boss$/,
    unless: engine("Sql"),
    message: `pg-boss ${ofEngine}`
  },
  {
    from: /^src\//,
    to: /^(bullmq|ioredis)$/,
    unless: engine("Redis"),
    message: `BullMQ, with its driver, ${ofEngine}`
  },
  {
    from: /^src\//,
    to: /^(node:)?process$/,
    unless: /^src\/layers\/Host -> /,
    message: "process is touched in Host alone: tests put their own Host in its place."
  },
  {
    from: /^src\//,
    to: /^(?!src\/|node:)/,
    unless: new RegExp(` -> (${peers.join("|")}|(test|bench|examples)/.*)$|^src/programs/importer/.* -> csv-parse$`),
    message: "The library has no dependencies but its peers; csv-parse is the importer's alone."
  }
]

/** Where an import leads: a path relative to the root without its ending, or the name of a package. */
export const target = (from, specifier) => {
  if (specifier.startsWith(".")) {
    return relative(root, resolve(root, dirname(from), specifier)).replaceAll("\\", "/").replace(/\.[cm]?[jt]s$/, "")
  }
  if (specifier === "lastcall") return "src/index"
  if (specifier === "lastcall/testing") return "src/testing/index"
  return specifier.startsWith("node:") ? specifier : /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier
}

const imports = {
  meta: { type: "problem", schema: [] },
  create(context) {
    const file = relative(root, context.filename).replaceAll("\\", "/")
    const from = file.replace(/\.[cm]?[jt]s$/, "")
    const check = ({ exportKind, importKind, source }) => {
      if (typeof source?.value !== "string") return
      const to = target(file, source.value)
      const typesOnly = importKind === "type" || exportKind === "type"
      const broken = importRules.find((rule) =>
        rule.from.test(from) && rule.to.test(to) && !rule.unless?.test(`${from} -> ${to}`) && !(rule.types && typesOnly)
      )
      if (broken !== undefined) context.report({ node: source, message: broken.message })
    }
    return {
      ImportDeclaration: check,
      ImportExpression: check,
      ExportAllDeclaration: check,
      ExportNamedDeclaration: check,
      TSImportType: check
    }
  }
}

export default { rules: { imports } }
