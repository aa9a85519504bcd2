/**
 * The resources of the service: what each has in flight, and how its release ended.
 */
import type { Service } from "./api.js"
import { count, duration } from "./format.js"
import type { Connection } from "./useService.js"

type Resource = Service["resources"][number]

const details: { readonly [name: string]: string } = {
  database: "holds files, rows and jobs",
  importer: "loads the files",
  http: "this page and the API",
  kafka: "imports of a topic",
  "orphan-cleanup": "cleans up after dead processes"
}

const tally = ({ cut, finished, handedBack }: Resource): string =>
  [
    [finished, "finished"],
    [handedBack, "handed back"],
    [cut, "cut"]
  ].filter(([n]) => n !== 0).map(([n, what]) => `${count(Number(n))} ${what}`).join(", ")

/** A dot for each unit of work, as long as they can be counted at a glance. */
const InFlight = ({ inFlight }: Resource) => (
  <span class="in-flight">
    {inFlight <= 12 && Array.from({ length: inFlight }, (_, index) => <i key={index} aria-hidden="true" />)}
    <span>{inFlight === 0 ? "idle" : `${count(inFlight)} in flight`}</span>
  </span>
)

const Row = ({ resource }: { resource: Resource }) => {
  const { condition, name, released, stage } = resource
  return (
    <li data-stage={stage} data-outcome={released?.outcome}>
      <div>
        <b>{name}</b>
        <span class="stage">
          {released === null ? stage : `${released.outcome} in ${duration(released.elapsed)}`}
        </span>
      </div>
      <div>
        <small>{condition ?? (tally(resource) || details[name])}</small>
        {released === null && <InFlight {...resource} />}
      </div>
    </li>
  )
}

export const ServicePanel = ({ connection: { awaySince, service } }: { connection: Connection }) => (
  <section class={awaySince === undefined ? "card" : "card stale"} aria-labelledby="resources">
    <h2 id="resources">Resources</h2>
    <p class="hint">In the order of their release: each is released before what it uses.</p>
    {service === undefined
      ? <p class="empty">{awaySince === undefined ? "Loading …" : "The service does not answer."}</p>
      : (
        <ul class="resources">
          {service.resources.toReversed().map((resource) => <Row key={resource.name} resource={resource} />)}
        </ul>
      )}
    {awaySince !== undefined && service !== undefined && <p class="hint">As of the last response.</p>}
  </section>
)
