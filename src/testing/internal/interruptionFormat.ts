import { Array as Arr } from "effect"

interface Point {
  readonly at: number
  readonly running: string
  readonly reason: string
}

const maxStretches = 20

const indent = (text: string) => text.replaceAll("\n", "\n    ")

/**
 * Lists points; neighbours that went wrong for the same reason are one stretch, told by its first and its last point.
 *
 * @internal
 */
export const formatPoints = (title: string, points: ReadonlyArray<Point>): ReadonlyArray<string> => {
  const stretches: Array<Arr.NonEmptyArray<Point>> = []
  for (const point of points) {
    const stretch = stretches.at(-1)
    if (stretch !== undefined && stretch[0].reason === point.reason && stretch.at(-1)?.at === point.at - 1) {
      stretch.push(point)
    } else {
      stretches.push([point])
    }
  }
  if (stretches.length === 0) return []
  const hidden = stretches.length - maxStretches
  return [
    `${title}:`,
    ...stretches.slice(0, maxStretches).flatMap((stretch) => {
      const first = stretch[0]
      const last = Arr.lastNonEmpty(stretch)
      return first === last
        ? [`  ${indent(first.reason)}`, `    at ${first.at}: ${first.running}`]
        : [
          `  ${indent(first.reason)}`,
          `    from ${first.at}: ${first.running}`,
          `    to ${last.at}: ${last.running}`
        ]
    }),
    ...hidden > 0 ? [`  and ${hidden} more stretches`] : []
  ]
}
