FROM node:22-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig*.json ./
COPY scripts scripts
COPY src src
RUN npm run bundle

FROM node:22-slim
WORKDIR /app
COPY --from=build /build/bundle .
# The embedded database lives in /app/data unless DATABASE_URL names a server.
RUN mkdir data && chown node:node data
USER node
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 SHUTDOWN_REPORT=/tmp/last-shutdown.json
EXPOSE 3000
VOLUME /app/data
STOPSIGNAL SIGTERM
# The exec form: a shell, or npm, in front of node would not pass the signal on.
CMD ["node", "main.mjs"]
