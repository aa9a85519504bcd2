/**
 * lastcall: services that stop as carefully as they start.
 *
 * @since 0.1.0
 */
export * as Database from "./layers/Database.js"
export * as Drain from "./layers/Drain.js"
export * as Health from "./layers/Health.js"
export * as Host from "./layers/Host.js"
export * as HttpServer from "./layers/HttpServer.js"
export * as JobContext from "./layers/JobContext.js"
export * as JobEvent from "./layers/JobEvent.js"
export * as JobSource from "./layers/JobSource.js"
export * as JobSourceMemory from "./layers/JobSourceMemory.js"
export * as JobSourceOutbox from "./layers/JobSourceOutbox.js"
export * as JobSourceRedis from "./layers/JobSourceRedis.js"
export * as JobSourceSql from "./layers/JobSourceSql.js"
export * as Shutdown from "./layers/Shutdown.js"
export * as ShutdownConfig from "./layers/ShutdownConfig.js"
export * as ShutdownReport from "./layers/ShutdownReport.js"
export * as TaskSupervisor from "./layers/TaskSupervisor.js"
export * as WorkerPool from "./layers/WorkerPool.js"
export { launch } from "./programs/launch.js"
