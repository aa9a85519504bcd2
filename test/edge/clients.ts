// Clients that are slow, curious, or gone.
import * as Http from "node:http"
import type { Api } from "../kit/service.js"

/** A request whose answer is read when the test wants to. */
const send = (url: string, options: Http.RequestOptions = {}) => {
  const request = Http.request(url, options)
  const answer = new Promise<Http.IncomingMessage>((resolve, reject) => {
    request.once("response", resolve)
    request.once("error", reject)
  })
  // Whether somebody waits for it or not.
  answer.catch(() => undefined)
  return { request, answer }
}

const textOf = async (answer: Http.IncomingMessage) => {
  let text = ""
  for await (const chunk of answer.setEncoding("utf8")) text += chunk
  return text
}

/** An upload that goes on, row by row, until it is told to come to its end; and its answer. */
export const slowUpload = async (api: Api, headers: Http.OutgoingHttpHeaders = {}) => {
  const { answer, request } = send(await api.url("/imports"), {
    method: "POST",
    headers: { "content-type": "text/csv", expect: "100-continue", ...headers }
  })
  request.flushHeaders()
  await new Promise((resolve) => request.once("continue", resolve))
  request.write("id,name\n")
  const rows = setInterval(() => request.write("1,Ada\n"), 200)
  request.once("close", () => clearInterval(rows))
  const finish = () => {
    clearInterval(rows)
    request.end()
    return answer
  }
  return { finish, answer }
}

/** A client that keeps its one connection, as browsers and proxies do. */
export const keepAlive = (api: Api) => {
  const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
  return {
    get: async (path: string) => {
      const { answer, request } = send(await api.url(path), { agent })
      request.end()
      const { headers, statusCode } = await answer
      const text = await textOf(await answer)
      return { status: statusCode, connection: headers.connection, text, reused: request.reusedSocket }
    },
    close: () => agent.destroy()
  }
}

/** A client that hears server-sent events: the first piece, then all of it once it has ended. */
export const listen = async (api: Api, path: string) => {
  const { answer, request } = send(await api.url(path))
  request.end()
  const response = await answer
  let text = ""
  const first = new Promise<void>((resolve) =>
    response.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
      if (text.includes("event: ")) resolve()
    })
  )
  const ended = new Promise<{ text: string; complete: boolean }>((resolve) =>
    response.once("close", () => resolve({ text, complete: response.complete }))
  )
  response.on("error", () => undefined)
  return { first, ended, vanish: () => request.destroy() }
}

/** Asks, and is gone as soon as the answer begins. */
export const vanish = async (api: Api, path: string) => {
  const { answer, request } = send(await api.url(path))
  request.end()
  const response = await answer
  response.on("error", () => undefined)
  request.destroy()
}
