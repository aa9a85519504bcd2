// What went wrong in a round, for people.
import type { Round } from "./round.js"

/** What became of one job, from what its processes noted. */
const story = ({ journal, schedule }: Round, job: string): ReadonlyArray<string> => {
  const first = journal[0]?.at ?? 0
  const planned = schedule.batches.flatMap(({ jobs }) => jobs).find(({ key }) => key === job)
  return [
    `  ${JSON.stringify(planned)}`,
    ...journal.filter((entry) => entry.job === job).map(({ at, attempt, id, process, what }) =>
      `  ${String(at - first).padStart(6)} ms  process ${process}  attempt ${attempt}  ${what}  ${id}`
    )
  ]
}

export const explain = (round: Round): string => {
  const { engine, seed } = round.schedule
  return [
    `FAILED, look into ${round.folder}; again with npm run chaos -- --engine ${engine} --seed ${seed} --rounds 1`,
    ...round.problems.flatMap(({ job, what }) =>
      job === undefined ? [`- ${what}`] : [`- job ${job} ${what}`, ...story(round, job)]
    )
  ].join("\n")
}
