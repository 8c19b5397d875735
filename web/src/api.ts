// The jobmanager's HTTP API: requests, and streams that reconnect.
import type { Diagnostic, Trigger } from './types.ts'
import { parseExact, read } from './sse.ts'

export class Failure extends Error {
  constructor(readonly status: number, readonly errors: string[], readonly diagnostics: Diagnostic[] = []) {
    super(errors.join('\n') || `HTTP ${status}`)
  }
}

let onUnauthorized: () => void = () => {}

// whenUnauthorized is told when a request was refused for want of a token.
export function whenUnauthorized(f: () => void): void {
  onUnauthorized = f
}

async function failure(r: Response): Promise<Failure> {
  if (r.status === 401) onUnauthorized()
  const text = await r.text().catch(() => '')
  try {
    const doc = JSON.parse(text) as { errors?: string[]; diagnostics?: Diagnostic[] }
    return new Failure(r.status, doc.errors ?? [text], doc.diagnostics ?? [])
  } catch {
    return new Failure(r.status, [text.trim() || `the jobmanager answered ${r.status} ${r.statusText}`])
  }
}

// request fetches a path of the API; signal ends it. Being offline is a Failure of status 0.
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let r: Response
  try {
    r = await fetch('api/v1/' + path, { credentials: 'same-origin', ...init })
  } catch (e) {
    if (init.signal?.aborted) throw e
    throw new Failure(0, ['the jobmanager does not answer'])
  }
  if (!r.ok) throw await failure(r)
  return r
}

const post = (body: unknown, signal?: AbortSignal): RequestInit => ({
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...(signal ? { signal } : {}),
})

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, signal ? { signal } : {})).json()) as T
}

// getExact is for documents that hold rows.
export async function getExact<T>(path: string, signal?: AbortSignal): Promise<T> {
  return parseExact(await getText(path, signal)) as T
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  return (await request(path, signal ? { signal } : {})).text()
}

export async function send<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const text = await (await request(path, post(body, signal))).text()
  return (text ? JSON.parse(text) : {}) as T
}

export const jobPath = (id: string) => `jobs/${encodeURIComponent(id)}`

// How often a trigger is asked how it goes.
const pollMs = 400

// follow asks until what a trigger started has ended. It fails with what the jobmanager says.
export async function follow(job: string, trigger: string, signal?: AbortSignal): Promise<Trigger> {
  for (let missed = 0; ; ) {
    try {
      const t = await get<Trigger>(`${jobPath(job)}/triggers/${encodeURIComponent(trigger)}`, signal)
      missed = 0
      if (t.state === 'failed') throw new Failure(200, [t.error ?? 'it failed'])
      if (t.state === 'completed') return t
    } catch (e) {
      // A connection that is away for a moment is not the end of a savepoint.
      if (!(e instanceof Failure) || e.status !== 0 || ++missed > 20) throw e
    }
    await pause(pollMs, signal)
  }
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop)
  })
}

// message is an error as one line for people.
export function message(e: unknown): string {
  return e instanceof Error ? e.message : String(e)
}

export const aborted = (e: unknown) => e instanceof DOMException && e.name === 'AbortError'

// State of a stream. retryAt is when it is tried again; since is when it was last heard of.
export interface StreamState {
  phase: 'connecting' | 'open' | 'waiting' | 'refused'
  since: number
  retryAt: number
  error: string
  status: number
}

// A stream that is silent for longer is taken for dead: the server says something every 15 s at least.
const silenceMs = 35_000
const retryFirstMs = 1000
const retryMaxMs = 15_000

// Stream keeps a connection of server-sent events up: it reconnects with growing pauses, and lets go while the page is hidden, so that a
// forgotten tab costs the jobmanager nothing.
export class Stream {
  private abort: AbortController | undefined
  private timer = 0
  private watchdog = 0
  private pauseMs = retryFirstMs
  private closed = false
  private state: StreamState = { phase: 'connecting', since: Date.now(), retryAt: 0, error: '', status: 0 }
  private readonly visible = () => (document.hidden ? this.suspend() : this.wake())

  constructor(
    private readonly path: string,
    private readonly each: (name: string, data: unknown) => void,
    private readonly changed: (s: StreamState) => void,
  ) {
    document.addEventListener('visibilitychange', this.visible)
    addEventListener('online', this.visible)
    if (!document.hidden) this.connect()
  }

  close(): void {
    this.closed = true
    document.removeEventListener('visibilitychange', this.visible)
    removeEventListener('online', this.visible)
    this.suspend()
  }

  // retry connects now instead of after the pause.
  retry(): void {
    if (this.closed || this.state.phase === 'open') return
    clearTimeout(this.timer)
    this.abort?.abort()
    this.connect()
  }

  private suspend(): void {
    clearTimeout(this.timer)
    clearTimeout(this.watchdog)
    this.abort?.abort()
    this.abort = undefined
  }

  private wake(): void {
    if (this.closed || this.abort) return
    this.pauseMs = retryFirstMs
    this.connect()
  }

  private set(part: Partial<StreamState>): void {
    this.state = { ...this.state, ...part }
    this.changed(this.state)
  }

  private heard(abort: AbortController): void {
    clearTimeout(this.watchdog)
    this.watchdog = window.setTimeout(() => abort.abort('silence'), silenceMs)
    this.state.since = Date.now()
  }

  private async connect(): Promise<void> {
    clearTimeout(this.timer)
    const abort = (this.abort = new AbortController())
    if (this.state.phase !== 'open') this.set({ phase: 'connecting' })
    let error = 'the connection ended'
    let status = 0
    try {
      this.heard(abort)
      const r = await request(this.path, { signal: abort.signal, headers: { Accept: 'text/event-stream' } })
      this.pauseMs = retryFirstMs
      this.set({ phase: 'open', error: '', status: r.status })
      await read(r.body!, (e) => this.each(e.name, e.name === 'rows' ? parseExact(e.data) : JSON.parse(e.data)), () => this.heard(abort))
    } catch (e) {
      error = abort.signal.aborted ? 'nothing was heard from the jobmanager' : message(e)
      status = e instanceof Failure ? e.status : 0
    }
    clearTimeout(this.watchdog)
    // Superseded or suspended meanwhile: someone else decides what is next.
    if (this.closed || this.abort !== abort) return
    if (status === 401 || status === 403 || status === 404) {
      this.set({ phase: 'refused', error, status })
      return
    }
    this.set({ phase: 'waiting', error, status, retryAt: Date.now() + this.pauseMs })
    this.timer = window.setTimeout(() => void this.connect(), this.pauseMs)
    this.pauseMs = Math.min(retryMaxMs, this.pauseMs * 2)
  }
}

export interface PreviewEvents {
  columns: (c: { name: string; type: string }[]) => void
  rows: (r: { rows: unknown[][]; kinds: string[] | null }) => void
  // waiting says why no rows come yet, such as slots that are missing; "" once it runs.
  waiting: (reason: string) => void
  end: (e: { reason: string; rows: number }) => void
}

// preview runs a query without a sink and hands over its first rows.
export async function preview(body: unknown, to: PreviewEvents, signal: AbortSignal): Promise<void> {
  const r = await request('sql/preview', post(body, signal))
  let failed: Failure | undefined
  await read(r.body!, ({ name, data }) => {
    const doc = (name === 'rows' ? parseExact(data) : JSON.parse(data)) as never
    if (name === 'columns') {
      const c = doc as { name: string; type: string }[] | { columns: { name: string; type: string }[] }
      to.columns(Array.isArray(c) ? c : c.columns)
    } else if (name === 'rows') to.rows(doc)
    else if (name === 'waiting') to.waiting((doc as { reason: string }).reason)
    else if (name === 'end') to.end(doc)
    else if (name === 'error') {
      const e = doc as { errors?: string[]; diagnostics?: Diagnostic[] }
      failed = new Failure(400, e.errors ?? [], e.diagnostics ?? [])
    }
  })
  if (failed) throw failed
}
