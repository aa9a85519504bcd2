import { Either, Option } from "effect"
import type { JobPage, StoredJob } from "../QueueControl.js"
import { InvalidPosition } from "./sourceErrors.js"

/** A place in a list that is ordered by a time and then by a key. */
export interface Position {
  readonly at: number
  readonly key: string
}

export const formatPosition = ({ at, key }: Position): string => `${at}.${key}`

/** The start when there is no text. `isKey` checks the key. */
export const parsePosition = (
  queue: string,
  text: string | undefined,
  isKey: (key: string) => boolean = () => true
): Either.Either<Option.Option<Position>, InvalidPosition> => {
  if (text === undefined) return Either.right(Option.none())
  const [, at, key] = /^(\d{1,16})\.(.*)$/s.exec(text) ?? []
  return at === undefined || key === undefined || !isKey(key)
    ? Either.left(new InvalidPosition({ queue, position: text }))
    : Either.right(Option.some({ at: Number(at), key }))
}

/** A page of what a list has after a position, of which one more than the limit was read if there is more. */
export const toPage = (
  found: ReadonlyArray<{ readonly job: StoredJob; readonly position: string }>,
  limit: number
): JobPage => {
  const page = found.slice(0, limit)
  return {
    jobs: page.map(({ job }) => job),
    next: found.length > limit ? Option.fromNullable(page.at(-1)?.position) : Option.none()
  }
}

/** What comes after a position in a list that is in memory, in order, with one more than the limit. */
export const after = <A extends Position>(all: ReadonlyArray<A>, position: Option.Option<Position>, limit: number) =>
  [...all].sort((a, b) => a.at - b.at || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).filter(({ at, key }) =>
    Option.match(position, {
      onNone: () => true,
      onSome: (last) => at > last.at || (at === last.at && key > last.key)
    })
  ).slice(0, limit + 1)
