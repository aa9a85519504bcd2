/**
 * The pool of workers that load what was uploaded.
 */
import * as WorkerPool from "../../layers/jobs/WorkerPool.js"
import { Cursor, ImportJob } from "./Domain.js"

export class Importer extends WorkerPool.Tag("importer")<Importer, ImportJob, Cursor>({
  payload: ImportJob,
  cursor: Cursor
}) {}
