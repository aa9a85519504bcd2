/** Whether the tests run in their long form (`npm run test:long`), which includes each test file that imports this. */
export const long = process.env["LASTCALL_LONG"] !== undefined
