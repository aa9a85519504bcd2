// Clients: slow uploads, kept connections, event streams, and clients that disappear.
import * as Http from "node:http"
import type { Api } from "../kit/service.js"

/** A request whose response the test reads when it wants to. */
const send = (url: string, options: Http.RequestOptions = {}) => {
  const request = Http.request(url, options)
  const answer = new Promise<Http.IncomingMessage>((resolve, reject) => {
    request.once("response", resolve)
    request.once("error", reject)
  })
  // A test may not await it.
  answer.catch(() => undefined)
  return { request, answer }
}

const textOf = async (answer: Http.IncomingMessage) => {
  let text = ""
  for await (const chunk of answer.setEncoding("utf8")) text += chunk
  return text
}

/** An upload that sends row after row until `finish`, and its response. */
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

/** A client that reuses one connection, as browsers and proxies do. */
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

/** A client of server-sent events: `first` completes with the first event, `ended` has all text. */
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

/** Sends a request, and disconnects when the response begins. */
export const vanish = async (api: Api, path: string) => {
  const { answer, request } = send(await api.url(path))
  request.end()
  const response = await answer
  response.on("error", () => undefined)
  request.destroy()
}
