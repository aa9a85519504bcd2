/**
 * lastcall: services that stop as carefully as they start.
 *
 * @since 0.1.0
 */
export * as Drain from "./core/Drain.js"
export * as Host from "./core/Host.js"
export * as Lifecycle from "./core/Lifecycle.js"
export * as Shutdown from "./core/Shutdown.js"
export * as ShutdownConfig from "./core/ShutdownConfig.js"
export * as ShutdownReport from "./core/ShutdownReport.js"
export * as TaskSupervisor from "./core/TaskSupervisor.js"
export * as Database from "./layers/database/Database.js"
export * as Health from "./layers/http/Health.js"
export * as HttpServer from "./layers/http/HttpServer.js"
export * as JobContext from "./layers/jobs/JobContext.js"
export * as JobEvent from "./layers/jobs/JobEvent.js"
export * as JobSource from "./layers/jobs/JobSource.js"
export * as JobSourceMemory from "./layers/jobs/JobSourceMemory.js"
export * as JobSourceOutbox from "./layers/jobs/outbox/JobSourceOutbox.js"
export * as JobSourceRedis from "./layers/jobs/redis/JobSourceRedis.js"
export * as JobSourceSql from "./layers/jobs/sql/JobSourceSql.js"
export * as WorkerPool from "./layers/jobs/WorkerPool.js"
export { launch, LaunchError } from "./programs/launch.js"
