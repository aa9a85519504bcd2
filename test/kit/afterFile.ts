// Runs before each test file. Files share loaded modules, so a module of the kit cannot register this itself.
import { afterAll } from "vitest"
import { removeTemporaryFolders } from "./temporaryFolder.js"

afterAll(removeTemporaryFolders)
