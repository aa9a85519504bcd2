import { hostname } from "node:os"
import { processes } from "../../../core/Host.js"

/** This process, as it is named where its jobs are listed. */
export const claimant = (): string => `${hostname()}/${processes.pid()}`
