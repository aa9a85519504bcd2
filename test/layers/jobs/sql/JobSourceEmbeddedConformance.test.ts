import { describeEmbedded, sqlConformance } from "./JobSourceSqlWorld.js"

describeEmbedded("JobSourceSql", sqlConformance)
