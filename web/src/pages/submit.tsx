// The editor: write a script, see what is wrong and what would run, try it, submit it.
import { useEffect, useRef, useState } from 'preact/hooks'
import { Failure, aborted, message, preview, send } from '../api.ts'
import { plural, whole } from '../format.ts'
import { go, href, useGet, useSession, useTitle } from '../hooks.ts'
import { Graph } from '../graph.tsx'
import type { Editor } from '../editor.ts'
import type { Column, Completions, Diagnostic, Example, Job, Plan, Validation } from '../types.ts'
import { Card, DataTable, Fault, Field, Icon, Notice, Segmented, Spinner } from '../ui.tsx'

// A draft lives as long as the tab: scripts may hold passwords, which should not stay on a disk.
const draftKey = 'bramble.draft'

const starter = `-- Rows that need no outside system: press "Preview".
CREATE TABLE readings (
  sensor INT,
  temperature DOUBLE,
  ts TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '20',
  'fields.sensor.min' = '1',
  'fields.sensor.max' = '5',
  'fields.temperature.min' = '15',
  'fields.temperature.max' = '30'
);

SELECT sensor, temperature, ts FROM readings;
`

function draft(): string {
  try {
    return sessionStorage.getItem(draftKey) ?? starter
  } catch {
    return starter
  }
}

function keep(text: string): void {
  try {
    sessionStorage.setItem(draftKey, text)
  } catch {
    // Not kept, then.
  }
}

interface Options {
  name: string
  parallelism: string
  savepoint: string
  nonRestored: boolean
  variables: string
}

// parseVariables reads KEY=value lines.
export function parseVariables(text: string): Record<string, string> {
  const out: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const eq = line.indexOf('=')
    if (eq > 0) out[line.slice(0, eq).trim()] = line.slice(eq + 1).trim()
  }
  return out
}

// How often a script is checked again when nobody could say what is wrong with it.
const recheckMs = 3000

const complete = (script: string, line: number, column: number) => send<Completions>('sql/complete', { script, line, column })

export function SubmitPage({ query }: { query: URLSearchParams }) {
  useTitle('Submit')
  const { readOnly, readOnlyReason } = useSession()
  const from = query.get('from')
  const { doc: origin, error: originError } = useGet<Job>(from ? `jobs/${encodeURIComponent(from)}` : null)
  const { doc: examples } = useGet<Example[]>('examples')
  const [text, setText] = useState(draft)
  const [options, setOptions] = useState<Options>({ name: '', parallelism: '', savepoint: query.get('savepoint') ?? '', nonRestored: false, variables: '' })
  const [validation, setValidation] = useState<Validation>()
  const [checkError, setCheckError] = useState('')
  const [sending, setSending] = useState(false)
  const [failure, setFailure] = useState<Failure>()
  const [right, setRight] = useState<'plan' | 'explain' | 'preview'>('plan')
  const editor = useRef<Editor | undefined>(undefined)
  const latest = useRef(options)
  latest.current = options
  const settings = () => parseVariables(latest.current.variables)
  const validate = async (script: string): Promise<Diagnostic[]> => {
    if (!script.trim()) {
      setValidation(undefined)
      return []
    }
    try {
      const v = await send<Validation>('sql/validate', { script, settings: settings() })
      setValidation((old) => (v.plan || !old ? v : { ...v, plan: old.plan, explain: old.explain }))
      setCheckError('')
      return v.diagnostics ?? []
    } catch (e) {
      setCheckError(message(e))
      setFailures((n) => n + 1)
      throw e
    }
  }
  const load = (script: string) => {
    setText(script)
    keep(script)
    editor.current?.set(script)
  }
  useEffect(() => {
    if (!origin?.script) return
    load(origin.script)
    setOptions((o) => ({ ...o, name: origin.name, parallelism: String(origin.parallelism ?? '') }))
  }, [origin?.id])
  useEffect(() => editor.current?.check(), [options.variables])
  const [failures, setFailures] = useState(0)
  useEffect(() => {
    if (!checkError) return
    const t = setTimeout(() => editor.current?.check(), recheckMs)
    return () => clearTimeout(t)
  }, [checkError, failures])
  const tester = usePreview(() => ({ script: text, settings: settings(), maxRows: 100, timeoutMs: 20_000 }))
  const submit = () => {
    if (sending || readOnly) return
    setSending(true)
    setFailure(undefined)
    const o = latest.current
    const p = Number(o.parallelism)
    const variables = settings()
    send<{ jobId: string }>('jobs', {
      script: text, name: o.name.trim() || undefined, parallelism: p > 0 ? p : undefined, fromSavepoint: o.savepoint.trim() || undefined,
      allowNonRestoredState: o.nonRestored, settings: variables,
    }).then(({ jobId }) => go(href('jobs', jobId)), (e: unknown) => {
      setFailure(e instanceof Failure ? e : new Failure(0, [message(e)]))
      setSending(false)
    })
  }
  const problems = validation?.diagnostics ?? []
  return (
    <div class="stack">
      <div class="spread">
        <h1>Submit a job</h1>
        <div class="row">
          <select class="input examples" aria-label="Start from an example" value="" onChange={(e) => {
            const x = examples?.find((ex) => ex.name === e.currentTarget.value)
            if (x) load(x.script)
            e.currentTarget.value = ''
          }}>
            <option value="">Examples…</option>
            {(examples ?? []).map((x) => <option key={x.name} value={x.name}>{x.title || x.name}</option>)}
          </select>
          <button type="button" class="button" disabled={tester.running || readOnly} onClick={() => {
            setRight('preview')
            tester.start()
          }}><Icon name="play" />Preview</button>
          <button type="button" class="button primary" disabled={readOnly || sending || !text.trim()} onClick={submit}>{sending ? 'Submitting…' : 'Submit'}</button>
        </div>
      </div>
      {readOnly && <Notice tone="warn">Scripts can be checked here, but not run: {readOnlyReason || 'this jobmanager is read-only'}.</Notice>}
      {originError && <Fault text={originError} />}
      {origin?.script?.includes('******') && <Notice tone="warn">Secrets of this script are blanked out as ******. Write them again, better as <code>{'${file:/run/secrets/…}'}</code>.</Notice>}
      {failure && <Fault text={failure.message} />}
      <div class="split">
        <div class="stack">
          <CodeEditor initial={text} handle={editor} onChange={(t) => {
            setText(t)
            keep(t)
          }} validate={validate} complete={complete} submit={submit} />
          <Problems problems={problems} warnings={validation?.warnings ?? []} checked={validation !== undefined} error={checkError} empty={!text.trim()} jump={(d) => editor.current?.jump(d.line, d.column)} />
          <OptionsForm options={options} set={(part) => setOptions({ ...options, ...part })} />
        </div>
        <Card title={right === 'preview' ? 'Preview' : 'What would run'} flush aside={
          <Segmented label="What to show" value={right} onChange={setRight} options={[['plan', 'Plan'], ['explain', 'Explain'], ['preview', 'Preview']]} />
        }>
          {right === 'plan' ? <PlanView plan={validation?.plan ?? null} stale={problems.length > 0} /> : right === 'explain'
            ? <div class="body">{validation?.explain ? <pre class="code" tabIndex={0} role="region" aria-label="Plan as text">{validation.explain}</pre> : <p class="muted">Nothing to explain yet.</p>}</div>
            : <PreviewView p={tester} off={readOnly} />}
        </Card>
      </div>
    </div>
  )
}

interface CodeEditorProps {
  initial: string
  handle: { current: Editor | undefined }
  onChange: (text: string) => void
  validate: (script: string) => Promise<Diagnostic[]>
  complete: (script: string, line: number, column: number) => Promise<Completions>
  submit: () => void
}

function CodeEditor(props: CodeEditorProps) {
  const box = useRef<HTMLDivElement>(null)
  const latest = useRef(props)
  latest.current = props
  const [error, setError] = useState('')
  useEffect(() => {
    let gone = false
    import('../editor.ts').then(({ createEditor }) => {
      if (gone) return
      const p = () => latest.current
      p().handle.current = createEditor({
        parent: box.current!, doc: draft(), label: 'SQL script',
        changed: (t) => p().onChange(t), validate: (s) => p().validate(s), complete: (s, l, c) => p().complete(s, l, c), submit: () => p().submit(),
      })
      p().handle.current?.check()
    }, (e: unknown) => setError(message(e)))
    return () => {
      gone = true
      latest.current.handle.current?.destroy()
      latest.current.handle.current = undefined
    }
  }, [])
  return (
    <div class="tight">
      {error && <Fault text={`The editor could not be loaded: ${error}`} />}
      <div class="editor" ref={box} style={{ minHeight: 'clamp(260px, 52vh, 560px)' }} />
    </div>
  )
}

function Problems({ problems, warnings, checked, error, empty, jump }: { problems: Diagnostic[]; warnings: string[]; checked: boolean; error: string; empty: boolean; jump: (d: Diagnostic) => void }) {
  const text = empty ? 'Write a script, or start from an example.' : error ? `It cannot be checked: ${error}` : !checked ? 'Checking…' : problems.length ? plural(problems.length, 'problem') : 'No problem found.'
  return (
    <div class="problems">
      <span class={`small ${problems.length ? 'bad' : 'muted'}`} role="status">{text} <span class="muted">Ctrl-Space completes, Ctrl-Enter submits, Escape then Tab leaves the editor.</span></span>
      {problems.map((d, i) => (
        <button key={i} type="button" onClick={() => jump(d)}><span class="mono">{d.line}:{d.column}</span><pre>{d.message}</pre></button>
      ))}
      {warnings.map((w) => <Notice key={w} tone="warn"><pre>{w}</pre></Notice>)}
    </div>
  )
}

function OptionsForm({ options, set }: { options: Options; set: (o: Partial<Options>) => void }) {
  return (
    <details class="card body" style={{ padding: '12px 16px' }} open={options.savepoint !== '' || undefined}>
      <summary>Options: name, parallelism, savepoint, variables</summary>
      <div class="stack">
        <div class="options">
          <Field label="Name"><input class="input" value={options.name} placeholder="as the script says" onInput={(e) => set({ name: e.currentTarget.value })} /></Field>
          <Field label="Parallelism"><input class="input" type="number" min={1} value={options.parallelism} placeholder="as the script says" onInput={(e) => set({ parallelism: e.currentTarget.value })} /></Field>
        </div>
        <Field label="From a savepoint"><input class="input mono" value={options.savepoint} placeholder="file:///…" onInput={(e) => set({ savepoint: e.currentTarget.value })} /></Field>
        {options.savepoint && <label class="check"><input type="checkbox" checked={options.nonRestored} onChange={(e) => set({ nonRestored: e.currentTarget.checked })} /><span>Leave out state that no operator takes.</span></label>}
        <Field label="Variables and settings, one a line" hint="As with bramble submit -D: what ${…} in the script stands for."><textarea class="input mono" rows={3} value={options.variables} placeholder="MQTT_URL=tcp://localhost:1883" onInput={(e) => set({ variables: e.currentTarget.value })} /></Field>
      </div>
    </details>
  )
}

function PlanView({ plan, stale }: { plan: Plan | null; stale: boolean }) {
  if (!plan?.vertices?.length) return <div class="body"><p class="muted">The plan is drawn here as soon as the script can be planned. A script needs an <code>INSERT INTO</code> to run as a job; a <code>SELECT</code> alone can be previewed.</p></div>
  return <div class={stale ? 'stale' : ''}><Graph vertices={plan.vertices} edges={plan.edges ?? []} /></div>
}

interface PreviewState {
  running: boolean
  columns: Column[]
  rows: { kind: string; values: unknown[] }[]
  note: string
  error: string
  start: () => void
  stop: () => void
}

const reasons: Record<string, string> = { timeout: 'time is up', rows: 'enough rows', maxRows: 'enough rows', end: 'the input has ended', finished: 'the input has ended' }

function usePreview(body: () => unknown): PreviewState {
  const [s, set] = useState<Omit<PreviewState, 'start' | 'stop'>>({ running: false, columns: [], rows: [], note: '', error: '' })
  const abort = useRef<AbortController | undefined>(undefined)
  useEffect(() => () => abort.current?.abort(), [])
  const start = () => {
    abort.current?.abort()
    const a = (abort.current = new AbortController())
    set({ running: true, columns: [], rows: [], note: '', error: '' })
    const mine = (f: (old: typeof s) => typeof s) => {
      if (abort.current === a) set(f)
    }
    preview(body(), {
      columns: (columns) => mine((o) => ({ ...o, columns })),
      rows: (r) => mine((o) => ({ ...o, rows: [...o.rows, ...r.rows.map((values, i) => ({ kind: r.kinds?.[i] ?? '+I', values }))] })),
      waiting: (reason) => mine((o) => ({ ...o, note: reason })),
      end: (e) => mine((o) => ({ ...o, note: `${plural(e.rows, 'row')}; ${reasons[e.reason] ?? e.reason}` })),
    }, a.signal).then(() => mine((o) => ({ ...o, running: false })), (e: unknown) => mine((o) => ({ ...o, running: false, error: aborted(e) ? '' : message(e) })))
  }
  const stop = () => {
    abort.current?.abort()
    set((o) => ({ ...o, running: false, note: `${plural(o.rows.length, 'row')}; stopped` }))
    abort.current = undefined
  }
  return { ...s, start, stop }
}

function PreviewView({ p, off }: { p: PreviewState; off: boolean }) {
  return (
    <>
      <div class="body tight">
        <div class="spread">
          {p.running ? <Spinner label={p.rows.length ? `${whole(p.rows.length)} rows so far` : p.note ? `Waiting: ${p.note}` : 'Running the query'} /> : <span class="muted small" role="status">{p.note || (p.error ? '' : 'Runs the SELECT of the script for a few seconds and shows its first rows. Nothing is written.')}</span>}
          {p.running ? <button type="button" class="button" onClick={p.stop}><Icon name="stop" />Stop</button> : <button type="button" class="button" disabled={off} onClick={p.start}><Icon name="play" />Run</button>}
        </div>
        {p.error && <Fault text={p.error} />}
      </div>
      {p.columns.length > 0 && <div style={{ maxHeight: '60vh', overflow: 'auto' }}><DataTable columns={p.columns} rows={p.rows} label="First rows" /></div>}
    </>
  )
}
