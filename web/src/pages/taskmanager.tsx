// One process: its logs, goroutines and where its CPU time goes.
import { useEffect, useRef, useState } from 'preact/hooks'
import { getText, get, message } from '../api.ts'
import { bytes, celsius, count, uptime } from '../format.ts'
import { href, useGet, useNow, useTitle } from '../hooks.ts'
import { Flame } from '../flame.tsx'
import type { Cluster, Frame } from '../types.ts'
import { Card, Fact, Fault, Notice, Spinner, Tabs } from '../ui.tsx'

const clusterMs = 5000
const logsMs = 3000

export function TaskManagerPage({ id, tab }: { id: string; tab: string }) {
  const { doc, error } = useGet<Cluster>('cluster', clusterMs)
  const now = useNow()
  const m = doc?.taskmanagers?.find((t) => t.id === id)
  const isJobManager = id === 'jobmanager'
  const name = isJobManager ? 'Jobmanager' : m?.hostName || m?.dataAddress || id
  useTitle(name)
  const base = `taskmanagers/${encodeURIComponent(id)}`
  return (
    <div class="stack">
      <div><h1>{name}</h1><span class="muted small mono">{isJobManager ? doc?.address : id}</span></div>
      {error && <Fault text={error} />}
      {doc && !m && !isJobManager && <Notice tone="warn">This taskmanager is not registered any more. What it logged is on its machine.</Notice>}
      {m && (
        <section class="card" aria-label="Summary">
          <dl class="summary">
            <Fact name="Machine">{m.arch || '–'}<small>{[m.os, m.cores ? `${m.cores} cores` : ''].filter(Boolean).join(', ')}</small></Fact>
            <Fact name="Slots used">{m.slots - m.slotsFree}<small> of {m.slots}</small></Fact>
            <Fact name="Memory used">{bytes(m.memoryUsedBytes)}<small> of {bytes(m.memoryBudgetBytes)}</small></Fact>
            <Fact name="RSS">{bytes(m.rssBytes)}</Fact>
            <Fact name="Temperature">{celsius(m.temperatureCelsius)}</Fact>
            <Fact name="Goroutines">{count(m.goroutines)}</Fact>
            <Fact name="Registered for">{uptime(m.registeredAt === null ? null : now - m.registeredAt)}</Fact>
            <Fact name="Version">{m.version || '–'}</Fact>
          </dl>
        </section>
      )}
      <Tabs label="Parts of the process" current={tab} tabs={[
        { id: 'logs', label: 'Logs', href: href('taskmanagers', id) },
        { id: 'goroutines', label: 'Goroutines', href: href('taskmanagers', id, 'goroutines') },
        { id: 'profile', label: 'CPU profile', href: href('taskmanagers', id, 'profile') },
      ]} />
      {tab === 'goroutines' ? <Goroutines base={base} /> : tab === 'profile' ? <Profile base={base} /> : <Logs base={base} />}
    </div>
  )
}

// useText fetches a text, and again every ms if that is not 0.
function useText(path: string, ms: number): { text: string | undefined; error: string; again: () => void } {
  const [text, setText] = useState<string>()
  const [error, setError] = useState('')
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    const abort = new AbortController()
    let timer = 0
    const load = async () => {
      try {
        if (!document.hidden) {
          setText(await getText(path, abort.signal))
          setError('')
        }
      } catch (e) {
        if (abort.signal.aborted) return
        setError(message(e))
      }
      if (ms && !abort.signal.aborted) timer = window.setTimeout(() => void load(), ms)
    }
    void load()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [path, ms, turn])
  return { text, error, again: () => setTurn((n) => n + 1) }
}

const levelOf = (line: string) => (/\blevel=(ERROR|error)\b|"level":"(ERROR|error)"|\bERROR\b/.test(line) ? 'error' : /\blevel=(WARN|warn)\b|"level":"(WARN|warn)"|\bWARN\b/.test(line) ? 'warning' : '')

function Logs({ base }: { base: string }) {
  const [lines, setLines] = useState('500')
  const [live, setLive] = useState(true)
  const [find, setFind] = useState('')
  const { text, error } = useText(`${base}/logs?lines=${lines}`, live ? logsMs : 0)
  const ref = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)
  const shown = (text ?? '').split('\n').filter((l) => l && (!find || l.toLowerCase().includes(find.toLowerCase())))
  useEffect(() => {
    if (atEnd.current && ref.current) ref.current.scrollTop = ref.current.scrollHeight
  }, [text, find])
  const aside = (
    <>
      <input class="input" style={{ width: '180px' }} type="search" placeholder="filter lines" aria-label="Filter lines" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
      <select class="input" aria-label="How many lines" value={lines} onChange={(e) => setLines(e.currentTarget.value)}>{['100', '500', '2000'].map((n) => <option key={n} value={n}>{n} lines</option>)}</select>
      <label class="check"><input type="checkbox" checked={live} onChange={(e) => setLive(e.currentTarget.checked)} /><span>follow</span></label>
    </>
  )
  return (
    <Card title="Logs" aside={aside} flush>
      {error && <div class="body"><Fault text={error} /></div>}
      {text === undefined && !error ? <div class="body"><Spinner label="Fetching the newest lines" /></div> : (
        <div class="log" ref={ref} tabIndex={0} role="region" aria-label="Log lines" onScroll={(e) => {
          const el = e.currentTarget
          atEnd.current = el.scrollHeight - el.scrollTop - el.clientHeight < 24
        }}>
          {shown.map((l, i) => <div key={i} class={levelOf(l)}>{l}</div>)}
          {shown.length === 0 && <span class="muted">{find ? 'no line matches' : 'nothing was logged yet'}</span>}
        </div>
      )}
    </Card>
  )
}

function Goroutines({ base }: { base: string }) {
  const { text, error, again } = useText(`${base}/goroutines`, 0)
  const [find, setFind] = useState('')
  const stacks = (text ?? '').split('\n\n').filter((s) => s.trim() && (!find || s.toLowerCase().includes(find.toLowerCase())))
  const aside = (
    <>
      <input class="input" style={{ width: '180px' }} type="search" placeholder="find in stacks" aria-label="Find in stacks" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
      <button type="button" class="button" onClick={again}>Take again</button>
    </>
  )
  return (
    <Card title={<>Goroutines {text !== undefined && <span class="muted">{stacks.length} stacks</span>}</>} aside={aside} flush>
      {error && <div class="body"><Fault text={error} /></div>}
      {text === undefined && !error ? <div class="body"><Spinner label="Asking the process" /></div> : <pre class="log" tabIndex={0} role="region" aria-label="Stacks">{stacks.join('\n\n')}</pre>}
    </Card>
  )
}

function Profile({ base }: { base: string }) {
  const [seconds, setSeconds] = useState('5')
  const [root, setRoot] = useState<Frame>()
  const [error, setError] = useState('')
  const [until, setUntil] = useState(0)
  const now = useNow(250)
  const abort = useRef<AbortController | null>(null)
  useEffect(() => () => abort.current?.abort(), [])
  const start = () => {
    const a = (abort.current = new AbortController())
    setError('')
    setUntil(Date.now() + Number(seconds) * 1000)
    get<Frame>(`${base}/flamegraph?seconds=${seconds}`, a.signal).then(setRoot, (e: unknown) => {
      if (!a.signal.aborted) setError(message(e))
    }).finally(() => {
      if (!a.signal.aborted) setUntil(0)
    })
  }
  const left = Math.ceil((until - now) / 1000)
  const aside = (
    <>
      <select class="input" aria-label="For how long" value={seconds} onChange={(e) => setSeconds(e.currentTarget.value)}>{['2', '5', '10', '30'].map((n) => <option key={n} value={n}>{n} seconds</option>)}</select>
      <button type="button" class="button primary" disabled={until > 0} onClick={start}>Record a flame graph</button>
      <a class="button" href={`api/v1/${base}/profile?seconds=${seconds}`} download="cpu.pprof">Download a profile</a>
    </>
  )
  return (
    <Card title="CPU profile" aside={aside}>
      <div class="stack">
        {error && <Fault text={error} />}
        {until > 0 && <Spinner label={left > 0 ? `Recording, ${left} s to go` : 'Reading the profile'} />}
        {root ? root.value ? <Flame root={root} /> : <p class="muted">The process used no CPU time worth a sample.</p>
          : until === 0 && <p class="muted">Records which functions use the CPU, a hundred times a second, while everything goes on. The download is for <code>go tool pprof</code>.</p>}
      </div>
    </Card>
  )
}
