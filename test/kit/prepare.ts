import { template } from "./pgliteTemplate.js"

/** Before all tests: made in the middle of one, it would hold up everything else that its process does. */
export default async () => {
  await template()
}
