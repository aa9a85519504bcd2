import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** `GET /?ms=20` is answered after that long. */
export const handler = (request: IncomingMessage, response: ServerResponse) => {
  const ms = Number(new URL(request.url!, "http://service").searchParams.get("ms"))
  const answer = () => response.end("answered")
  if (ms > 0) setTimeout(answer, ms)
  else answer()
}

/** As behind a load balancer, which has to be the one that closes idle connections. */
export const options = { keepAliveTimeout: 65_000 }

export const listen = (server: Server) =>
  server.listen(0, "127.0.0.1", () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
