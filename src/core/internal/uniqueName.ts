/** The name, with the first free number from 2 on when it is taken. */
export const uniqueName = (name: string, named: ReadonlyArray<{ readonly name: string }>): string => {
  const taken = new Set(named.map(({ name }) => name))
  let unique = name
  for (let n = 2; taken.has(unique); n++) unique = `${name}-${n}`
  return unique
}
