/**
 * lastcall/testing: for the tests of a service.
 *
 * @since 0.1.0
 */
export * as Crash from "./Crash.js"
export * as Interruption from "./Interruption.js"
export * as Journal from "./Journal.js"
export * as TestApp from "./TestApp.js"
