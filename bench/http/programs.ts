import { type Server, start } from "../servers.js"

/** The servers that are compared, and the file of each. */
export const programs = [["node:http", "node"], ["NodeHttpServer", "stock"], ["lastcall HttpServer", "lastcall"]] as const

export type Program = (typeof programs)[number]

export const startProgram = ([name, file]: Program, app: string): Promise<Server> =>
  start(name, `./http/${file}.ts`, { APP: app, NODE_OPTIONS: "--expose-gc" })
