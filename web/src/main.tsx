// The shell: who is here, what is shown, and whether the jobmanager still talks to us.
import { render } from 'preact'
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Failure, get, message, send, whenUnauthorized, type StreamState } from './api.ts'
import { ago } from './format.ts'
import { ConnectionContext, SessionContext, useNow, useRoute, type Connections } from './hooks.ts'
import { ClusterPage } from './pages/cluster.tsx'
import { JobPage } from './pages/job.tsx'
import { LoginPage } from './pages/login.tsx'
import { SubmitPage } from './pages/submit.tsx'
import { TaskManagerPage } from './pages/taskmanager.tsx'
import type { Session } from './types.ts'
import { ToastProvider } from './toast.tsx'
import { Empty, Icon, Spinner } from './ui.tsx'

// How often a jobmanager that did not answer is asked for the session again.
const sessionRetryMs = 3000

function App() {
  const [session, setSession] = useState<Session>()
  const [error, setError] = useState<{ title: string; text: string }>()
  const [turn, setTurn] = useState(0)
  const ask = useCallback(() => setTurn((n) => n + 1), [])
  useEffect(() => whenUnauthorized(ask), [ask])
  useEffect(() => {
    const abort = new AbortController()
    let timer = 0
    get<Session>('session', abort.signal).then((s) => {
      setSession(s)
      setError(undefined)
    }, (e) => {
      if (abort.signal.aborted) return
      // One that stands by says who leads.
      setError({ title: e instanceof Failure && e.status === 503 ? 'This jobmanager does not lead' : 'The jobmanager does not answer', text: message(e) })
      timer = window.setTimeout(ask, sessionRetryMs)
    })
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [turn])
  if (!session) return <main id="main">{error ? <Empty page title={error.title}><p>{error.text}</p><Spinner label="Trying again" /></Empty> : <Spinner label="Connecting" />}</main>
  if (session.needsToken && !session.authenticated) return <LoginPage version={session.version} onDone={ask} />
  return (
    <SessionContext.Provider value={session}>
      <ToastProvider><Shell session={session} signOut={() => void send('logout', {}).then(ask, ask)} /></ToastProvider>
    </SessionContext.Provider>
  )
}

function Shell({ session, signOut }: { session: Session; signOut: () => void }) {
  const { parts, query } = useRoute()
  const [streams, setStreams] = useState(new Map<object, { state: StreamState; retry?: () => void }>())
  const report: Connections['report'] = useCallback((key, state, retry) => setStreams((old) => {
    const next = new Map(old)
    if (state) next.set(key, retry ? { state, retry } : { state })
    else next.delete(key)
    return next
  }), [])
  const connections = useMemo(() => ({ report }), [report])
  const main = useRef<HTMLElement>(null)
  const page = parts.slice(0, 2).join('/')
  const first = useRef(true)
  useEffect(() => {
    // As a page load would: from the top, and a screen reader reads on in the new page.
    if (first.current) first.current = false
    else {
      scrollTo(0, 0)
      main.current?.focus({ preventScroll: true })
    }
  }, [page])
  const all = [...streams.values()]
  const worst = all.find((s) => s.state.phase === 'waiting') ?? all.find((s) => s.state.phase === 'connecting') ?? all[0]
  return (
    <ConnectionContext.Provider value={connections}>
      <a class="skip" href="#main" onClick={(e) => {
        e.preventDefault()
        main.current?.focus()
      }}>Skip to the content</a>
      <header class="topbar">
        <a class="brand" href="#/" aria-label="Bramble, cluster overview"><img src="icon.svg" alt="" /><span>Bramble</span></a>
        <nav aria-label="Main">
          <a href="#/" aria-current={page === '' || parts[0] === 'jobs' || parts[0] === 'taskmanagers' ? 'page' : undefined}>Cluster</a>
          <a href="#/submit" aria-current={parts[0] === 'submit' ? 'page' : undefined}>Submit</a>
        </nav>
        {session.readOnly && <span class="badge plain wide-only" title={session.readOnlyReason ?? ''}>read-only</span>}
        {worst && <Live state={worst.state} />}
        <ThemeToggle />
        {session.needsToken && <button class="button icon quiet" type="button" onClick={signOut} aria-label="Sign out" title="Sign out"><Icon name="out" /></button>}
      </header>
      {worst?.state.phase === 'waiting' && <Disconnected state={worst.state} retry={worst.retry} />}
      <main id="main" ref={main} tabIndex={-1}>
        {parts.length === 0 ? <ClusterPage />
          : parts[0] === 'jobs' && parts[1] ? <JobPage key={parts[1]} id={parts[1]} tab={parts[2] ?? 'overview'} query={query} />
          : parts[0] === 'taskmanagers' && parts[1] ? <TaskManagerPage key={parts[1]} id={parts[1]} tab={parts[2] ?? 'logs'} />
          : parts[0] === 'submit' ? <SubmitPage query={query} />
          : <Empty page title="There is no such page"><p>The address may be of another version of the dashboard.</p><a class="button" href="#/">To the cluster</a></Empty>}
      </main>
      <footer class="footer"><span>Bramble {session.version}</span><a href="#/taskmanagers/jobmanager">Jobmanager: logs and profiles</a></footer>
    </ConnectionContext.Provider>
  )
}

const phases = { open: 'Live', connecting: 'Connecting', waiting: 'Disconnected', refused: 'Ended' }

function Live({ state }: { state: StreamState }) {
  return <span class={`live ${state.phase}`} title={state.error || undefined}><i aria-hidden="true" /><span>{phases[state.phase]}</span></span>
}

function Disconnected({ state, retry }: { state: StreamState; retry: (() => void) | undefined }) {
  const now = useNow(500)
  const left = Math.max(0, Math.ceil((state.retryAt - now) / 1000))
  return (
    <section class="notice bad banner" aria-label="Connection">
      <span role="alert">Disconnected: {state.error}. What you see is old.</span>
      <span class="muted">Last heard {ago(state.since, now)}; trying again {left ? `in ${left} s` : 'now'}.</span>
      {retry && <button type="button" class="button" onClick={retry}>Try now</button>}
    </section>
  )
}

function ThemeToggle() {
  const dark = () => {
    const set = document.documentElement.dataset['theme']
    return set ? set === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  }
  const [isDark, set] = useState(dark)
  useEffect(() => {
    const m = matchMedia('(prefers-color-scheme: dark)')
    const changed = () => set(dark())
    m.addEventListener('change', changed)
    return () => m.removeEventListener('change', changed)
  }, [])
  const toggle = () => {
    const next = isDark ? 'light' : 'dark'
    document.documentElement.dataset['theme'] = next
    set(!isDark)
    try {
      localStorage.setItem('bramble.theme', next)
    } catch {
      // Not kept, then.
    }
  }
  const label = isDark ? 'Use the light theme' : 'Use the dark theme'
  return <button class="button icon quiet" type="button" onClick={toggle} aria-label={label} title={label}><Icon name={isDark ? 'sun' : 'moon'} /></button>
}

render(<App />, document.getElementById('app')!)
