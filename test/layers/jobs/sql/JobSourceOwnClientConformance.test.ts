import { describeOwnClients, sqlConformance } from "./JobSourceSqlWorld.js"

describeOwnClients("JobSourceSql", sqlConformance)
