// Which module may import which. `npm run lint` checks it, imports of types included; each rule's comment is its reason.

/** A path in src, or in one of its folders. */
const wing = "^src/layers/(http|jobs|database|kafka)/"
/** Public modules of the jobs wing that are types and Tags alone: internals and engines are written against them. */
const jobContracts = "^src/layers/jobs/(JobBatch|JobSource|JobCarrier|JobContext|JobEvent|QueueControl)\\.ts$"
/** What keeps the positions and attempts of a consumer group in the database. */
const kafkaLedger = "^src/layers/kafka/internal/ledger\\.ts$"
const engines = "^src/layers/jobs/(sql|redis|nats|rabbit)/"
const page = "^src/programs/importer/page/"
const npm = ["npm", "npm-dev", "npm-optional", "npm-peer", "npm-no-pkg", "npm-unknown"]

export default {
  forbidden: [
    {
      name: "no-cycle",
      comment: "Modules that import each other, types included, can only be read together.",
      severity: "error",
      from: {},
      to: { circular: true }
    },
    {
      name: "no-unresolved",
      comment: "The import leads nowhere.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true }
    },
    {
      name: "src-is-self-contained",
      comment: "What is shipped does not import test, bench, examples or scripts.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|bench|examples|scripts)/" }
    },
    {
      name: "entries-are-not-imported",
      comment: "main starts a process and index imports everything: nothing in src imports either.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^src/(main|index)\\.ts$" }
    },
    {
      name: "core-is-the-ground",
      comment: "main -> programs -> layers -> core: the core knows no server, no engine and no database.",
      severity: "error",
      from: { path: "^src/core/" },
      to: { path: "^src/(layers|programs|testing)/" }
    },
    {
      name: "layers-know-no-program",
      comment: "main -> programs -> layers -> core: a layer does not know what runs it.",
      severity: "error",
      from: { path: "^src/layers/" },
      to: { path: "^src/(programs|testing)/" }
    },
    {
      name: "wings-are-separate",
      comment:
        "A wing imports no other wing, so that each can be used, tested and replaced alone. They meet through Tags.",
      severity: "error",
      from: { path: wing, pathNot: ["^src/layers/jobs/sql/", kafkaLedger] },
      to: { path: "^src/layers/", pathNot: "^src/layers/$1/" }
    },
    {
      name: "sql-uses-the-database-contract",
      comment: "jobs/sql keeps jobs in the database: it imports its contract, and nothing else of it.",
      severity: "error",
      from: { path: "^src/layers/jobs/sql/" },
      to: { path: "^src/layers/", pathNot: "^src/layers/(jobs/|database/contract\\.ts$)" }
    },
    {
      name: "kafka-ledger-uses-the-database-contract",
      comment: "The ledger keeps a group's positions in the database: it imports its contract, and nothing else of it.",
      severity: "error",
      from: { path: kafkaLedger },
      to: { path: "^src/layers/", pathNot: "^src/layers/(kafka/|database/contract\\.ts$)" }
    },
    {
      name: "engines-know-the-contract",
      comment:
        "An engine implements JobSource: it imports the contracts and shared internals, neither the pool nor another engine.",
      severity: "error",
      from: { path: engines },
      to: {
        path: "^src/layers/jobs/",
        pathNot: [jobContracts, "^src/layers/jobs/internal/", "^src/layers/jobs/$1/"]
      }
    },
    {
      name: "pools-know-no-engine",
      comment: "Pools are written against JobSource, so that any engine can stand behind them.",
      severity: "error",
      from: { path: "^src/layers/jobs/", pathNot: engines },
      to: { path: engines }
    },
    {
      name: "public-imports-internal",
      comment: "In a wing public modules import internal ones, not the other way round, except for contracts.",
      severity: "error",
      from: { path: "^src/layers/.+/internal/" },
      to: { path: "^src/layers/", pathNot: ["/internal/", jobContracts, "^src/layers/(database|kafka)/contract\\.ts$"] }
    },
    {
      name: "internal-stays-in-its-wing",
      comment: "internal/ is private to its wing; programs and tests use what users have.",
      severity: "error",
      from: { path: "^src/(main\\.ts|index\\.ts|programs/importer/|layers/)" },
      to: { path: "^src/programs/internal/" }
    },
    {
      name: "the-importer-uses-public-modules",
      comment: "The reference service is made of what users have, or it shows nothing.",
      severity: "error",
      from: { path: "^src/(main\\.ts|index\\.ts|programs/importer/)" },
      to: { path: "^src/.*/internal/" }
    },
    {
      name: "launch-knows-no-wing",
      comment: "launch runs any app, also one without a server, a pool or a database.",
      severity: "error",
      from: { path: "^src/(programs/launch\\.ts|programs/internal/|testing/)" },
      to: { path: "^src/(layers|programs/importer)/" }
    },
    {
      name: "testing-is-for-tests",
      comment: "lastcall/testing is for tests: what is deployed does not load it.",
      severity: "error",
      from: { path: "^src/(main\\.ts|index\\.ts|core/|layers/|programs/)" },
      to: { path: "^src/testing/" }
    },
    {
      name: "node-servers-belong-to-http",
      comment: "Node's servers and sockets are opened by HttpServer, which also drains them.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(layers/http/|programs/importer/App\\.ts$)" },
      to: { path: "^(node:)?(http|https|http2|net|tls)$", dependencyTypes: ["core"] }
    },
    {
      name: "drivers-belong-to-the-database",
      comment: "Database drivers belong to the database wing: everything else asks for SqlClient by its Tag.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/layers/database/" },
      to: { path: "node_modules/(pg|pg-[^/]+|@types/pg|@electric-sql/pglite|@effect/sql-pg)/" }
    },
    {
      name: "bullmq-belongs-to-redis",
      comment: "BullMQ and ioredis belong to the Redis engine.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/layers/jobs/redis/" },
      to: { path: "node_modules/(bullmq|ioredis)/" }
    },
    {
      name: "kafkajs-belongs-to-kafka",
      comment: "kafkajs belongs to the Kafka wing, and there to the default client.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/layers/kafka/internal/kafkajs" },
      to: { path: "node_modules/kafkajs/" }
    },
    {
      name: "nats-belongs-to-its-carrier",
      comment: "The packages of NATS belong to its carrier.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/layers/jobs/nats/" },
      to: { path: "node_modules/@nats-io/" }
    },
    {
      name: "rabbitmq-belongs-to-its-carrier",
      comment: "The package of RabbitMQ belongs to its carrier.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/layers/jobs/rabbit/" },
      to: { path: "node_modules/rabbitmq-client/" }
    },
    {
      name: "process-belongs-to-host",
      comment: "process is touched in Host alone, so that tests can put their own Host in its place.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/core/Host\\.ts$" },
      to: { path: "^(node:)?process$", dependencyTypes: ["core"] }
    },
    {
      name: "only-peers",
      comment: "The library has no dependencies but its peers; csv-parse and preact belong to the importer.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/programs/importer/" },
      to: { dependencyTypes: npm, dependencyTypesNot: ["npm-peer", "type-only"] }
    },
    {
      name: "importer-parser",
      comment: "Besides the library's peers the importer uses csv-parse and nothing else.",
      severity: "error",
      from: { path: "^src/programs/importer/", pathNot: page },
      to: { dependencyTypes: npm, dependencyTypesNot: ["npm-peer"], pathNot: "node_modules/csv-parse/" }
    },
    {
      name: "page-runs-in-browsers",
      comment: "The page is made of preact, and of its own files. Of the service it imports types.",
      severity: "error",
      from: { path: page },
      to: { pathNot: [page, "node_modules/preact/"], dependencyTypesNot: ["type-only"] }
    },
    {
      name: "page-is-built",
      comment: "The service serves the files that the build makes of the page, and imports none of its modules.",
      severity: "error",
      from: { path: "^src/", pathNot: page },
      to: { path: page }
    }
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "node", "default"] },
    doNotFollow: { path: "node_modules" },
    reporterOptions: { text: { highlightFocused: true } }
  }
}
