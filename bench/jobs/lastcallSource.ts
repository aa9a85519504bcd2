import { Layer, Redacted } from "effect"
import { Database, JobCarrierRedis, JobSourceMemory, JobSourceRedis, JobSourceSql } from "../../dist/index.js"

const database = (url: string) => Database.layer({ url: Redacted.make(url) })

/** The source of jobs at this URL: Redis, carried by it where jobs are kept in PostgreSQL, PostgreSQL itself, or the memory if the URL is empty. */
export const sourceOf = (url: string, postgres: string | undefined) => {
  const redis = { url: Redacted.make(url) }
  const source = url === ""
    ? JobSourceMemory.layer({ capacity: Infinity })
    : !url.startsWith("redis:")
    ? Layer.provideMerge(JobSourceSql.layer(), database(url))
    : postgres === undefined
    ? JobSourceRedis.layer(redis)
    : JobSourceSql.layerCarried().pipe(Layer.provide(JobCarrierRedis.layer(redis)), Layer.provideMerge(database(postgres)))
  return Layer.orDie(source)
}
