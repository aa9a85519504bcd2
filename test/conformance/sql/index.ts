import { conversionCases } from "./conversions.js"
import { errors } from "./errors.js"
import { interruption } from "./interruption.js"
import { notifications } from "./notifications.js"
import { statements } from "./statements.js"
import { streams } from "./streams.js"
import { transactions } from "./transactions.js"

export const sqlCases = [
  ...statements,
  ...conversionCases,
  ...errors,
  ...transactions,
  ...streams,
  ...interruption,
  ...notifications
]
