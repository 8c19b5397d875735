// State that components share: the route, streams, the clock, and what the session may do.
import { createContext } from 'preact'
import { useContext, useEffect, useRef, useState } from 'preact/hooks'
import { Failure, Stream, aborted, get, message, type StreamState } from './api.ts'
import type { Session } from './types.ts'

// Where a page is: #/jobs/ID/checkpoints?x=1 is ["jobs", "ID", "checkpoints"] with its parameters.
export interface Route {
  parts: string[]
  query: URLSearchParams
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const decode = (s: string) => {
    try {
      return decodeURIComponent(s)
    } catch {
      return s
    }
  }
  return { parts: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) }
}

export function useRoute(): Route {
  const [hash, set] = useState(location.hash)
  useEffect(() => {
    const moved = () => set(location.hash)
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [])
  return parseRoute(hash)
}

export const href = (...parts: string[]) => '#/' + parts.map(encodeURIComponent).join('/')

export function go(to: string): void {
  location.hash = to
}

// replace changes the address without a step in the history.
export function replace(to: string): void {
  history.replaceState(null, '', to)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

export const SessionContext = createContext<Session>({ version: '', readOnly: true, needsToken: false, authenticated: false })
export const useSession = () => useContext(SessionContext)

// The streams of the page tell the shell how they are, so that it can say so in one place.
export interface Connections {
  report: (key: object, state: StreamState | undefined, retry?: () => void) => void
}
export const ConnectionContext = createContext<Connections>({ report: () => {} })

// useStream returns the newest document of the event called name, and how the stream is. With path null there is no stream.
export function useStream<T>(path: string | null, name: string): { doc: T | undefined; state: StreamState | undefined; at: number } {
  const [got, setGot] = useState<{ path: string; doc: T; at: number }>()
  const [state, setState] = useState<StreamState>()
  const { report } = useContext(ConnectionContext)
  useEffect(() => {
    if (path === null) return
    const key = {}
    const stream = new Stream(
      path,
      (event, doc) => {
        if (event === name) setGot({ path, doc: doc as T, at: Date.now() })
      },
      (s) => {
        setState(s)
        report(key, s, () => stream.retry())
      },
    )
    return () => {
      stream.close()
      report(key, undefined)
      setState(undefined)
    }
  }, [path, name])
  const current = got?.path === path ? got : undefined
  return { doc: current?.doc, state, at: current?.at ?? 0 }
}

// useGet fetches a document, and again every ms if that is not 0. What was there stays until the next is.
export function useGet<T>(path: string | null, ms = 0, fetch: <D>(path: string, signal: AbortSignal) => Promise<D> = get): { doc: T | undefined; error: string; status: number; again: () => void } {
  const [got, setGot] = useState<{ path: string; doc: T }>()
  const [error, setError] = useState<{ text: string; status: number }>({ text: '', status: 0 })
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    if (path === null) return
    const abort = new AbortController()
    let timer = 0
    const load = async () => {
      try {
        if (!document.hidden) {
          const doc = await fetch<T>(path, abort.signal)
          setGot({ path, doc })
          setError({ text: '', status: 0 })
        }
      } catch (e) {
        if (abort.signal.aborted || aborted(e)) return
        setError({ text: message(e), status: e instanceof Failure ? e.status : 0 })
      }
      if (ms && !abort.signal.aborted) timer = window.setTimeout(() => void load(), ms)
    }
    void load()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [path, ms, turn])
  return { doc: got?.path === path ? got?.doc : undefined, error: error.text, status: error.status, again: () => setTurn((n) => n + 1) }
}

// useNow is the time, anew every ms.
export function useNow(ms = 1000): number {
  const [now, set] = useState(Date.now())
  useEffect(() => {
    const t = setInterval(() => set(Date.now()), ms)
    return () => clearInterval(t)
  }, [ms])
  return now
}

// useMedia says whether a media query holds.
export function useMedia(query: string): boolean {
  const [holds, set] = useState(() => matchMedia(query).matches)
  useEffect(() => {
    const m = matchMedia(query)
    const changed = () => set(m.matches)
    changed()
    m.addEventListener('change', changed)
    return () => m.removeEventListener('change', changed)
  }, [query])
  return holds
}

// useWidth measures an element.
export function useWidth<T extends HTMLElement>(): [preactRef<T>, number] {
  const ref = useRef<T>(null)
  const [width, set] = useState(0)
  useEffect(() => {
    const el = ref.current
    if (!el) return
    set(el.clientWidth)
    const o = new ResizeObserver(() => set(el.clientWidth))
    o.observe(el)
    return () => o.disconnect()
  }, [])
  return [ref, width]
}

type preactRef<T> = { current: T | null }

// useTitle names the page in the tab and in the history.
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Bramble` : 'Bramble'
  }, [title])
}
