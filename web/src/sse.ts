// Server-sent events over fetch. The browser's own EventSource tells neither a status nor why it failed, cannot POST, and reconnects
// without a word; people should see when what they look at is old.

export interface Event {
  name: string
  data: string
}

// Parser takes text in any pieces and returns the events that are complete.
export class Parser {
  private rest = ''

  push(text: string): Event[] {
    const blocks = (this.rest + text).replace(/\r\n?/g, '\n').split('\n\n')
    this.rest = blocks.pop() ?? ''
    return blocks.map(parse).filter((e) => e !== undefined)
  }
}

// parseExact reads JSON; numbers that JavaScript would change, such as large BIGINTs and long DECIMALs, stay text where the browser shows them to us.
export function parseExact(text: string): unknown {
  return JSON.parse(text, function (_key: string, value: unknown, context?: { source?: string }) {
    const source = context?.source ?? ''
    return typeof value === 'number' && String(value) !== source && /^-?\d+(\.\d+)?$/.test(source) ? source : value
  } as (key: string, value: unknown) => unknown)
}

function parse(block: string): Event | undefined {
  let name = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') name = value
    else if (field === 'data') data.push(value)
  }
  return data.length ? { name, data: data.join('\n') } : undefined
}

// read hands over each event of a response until it ends. alive is called with every piece, also with mere keep-alives.
export async function read(body: ReadableStream<Uint8Array>, each: (e: Event) => void, alive: () => void = () => {}): Promise<void> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  const parser = new Parser()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    alive()
    for (const e of parser.push(decoder.decode(value, { stream: true }))) each(e)
  }
}
