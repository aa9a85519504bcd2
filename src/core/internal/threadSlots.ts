/** The bytes of a slot before its text: the number of its versions, and the length of the text. */
const headLength = 8

/** The least bytes of a slot, so that one is used again for most texts. */
const leastLength = 128

interface Slot {
  readonly head: Int32Array
  readonly bytes: Buffer
}

/**
 * Texts that a thread can read while this one is blocked: memory that both share, in slots that are used again. A message for each
 * text would cost more than many a unit of work.
 */
export const makeThreadSlots = (share: (memory: SharedArrayBuffer) => void) => {
  const free: Array<Slot> = []
  const make = (length: number): Slot => {
    const memory = new SharedArrayBuffer(headLength + Math.max(leastLength, length))
    share(memory)
    return { head: new Int32Array(memory, 0, 2), bytes: Buffer.from(memory, headLength) }
  }
  /** Holds the text until the returned function is called. */
  return (text: string): () => void => {
    const length = Buffer.byteLength(text)
    const index = free.findIndex(({ bytes }) => bytes.length >= length)
    const slot = index < 0 ? make(length) : free.splice(index, 1)[0]!
    const { bytes, head } = slot
    Atomics.add(head, 0, 1)
    bytes.write(text)
    Atomics.store(head, 1, length)
    return () => {
      Atomics.store(head, 1, 0)
      free.push(slot)
    }
  }
}
