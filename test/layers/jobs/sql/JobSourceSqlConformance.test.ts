import { describeServer, sqlConformance } from "./JobSourceSqlWorld.js"

describeServer("JobSourceSql", sqlConformance)
