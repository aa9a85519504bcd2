import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** `GET /?ms=20` responds after 20 ms. */
export const handler = (request: IncomingMessage, response: ServerResponse) => {
  const ms = Number(new URL(request.url!, "http://service").searchParams.get("ms"))
  const respond = () => response.end("answered")
  if (ms > 0) setTimeout(respond, ms)
  else respond()
}

/** Longer than a load balancer keeps idle connections, so that the load balancer closes them and not the server. */
export const options = { keepAliveTimeout: 65_000 }

export const listen = (server: Server) =>
  server.listen(0, "127.0.0.1", () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
