import * as Net from "node:net"

/** A loopback port that is not in use, for a process that cannot choose one itself. */
export const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = Net.createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as Net.AddressInfo
      // Completes the connection as long as a process that another thread starts holds the socket: then it is reset.
      server.close(() => Net.connect(port, "127.0.0.1").on("error", () => {}).once("close", () => resolve(port)))
    })
  })
