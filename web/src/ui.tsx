// Small parts that pages are put together from.
import type { ComponentChildren, HTMLAttributes } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { percent } from './format.ts'
import { cell } from './format.ts'
import type { Column } from './types.ts'

type Children = { children?: ComponentChildren }

const tones: Record<string, 'ok' | 'warn' | 'bad' | 'accent' | ''> = {
  RUNNING: 'ok', COMPLETED: 'ok', FINISHED: 'accent', CREATED: 'warn', SCHEDULED: 'warn', DEPLOYING: 'warn', INITIALIZING: 'warn', PENDING: 'warn',
  RESTARTING: 'warn', RECOVERING: 'warn', RECONCILING: 'warn', CANCELLING: 'warn', CANCELING: 'warn', STOPPING: 'warn', FAILING: 'bad', FAILED: 'bad', IN_PROGRESS: 'warn',
}

// Badge is a state, as colour, shape and word.
export function Badge({ state }: { state: string }) {
  const word = state.toUpperCase()
  return <span class={`badge ${tones[word] ?? ''}`}>{word.replaceAll('_', ' ').toLowerCase()}</span>
}

export function Card({ title, aside, children, flush, id }: Children & { title: ComponentChildren; aside?: ComponentChildren; flush?: boolean; id?: string }) {
  const name = useId()
  return (
    <section class="card" aria-labelledby={name} id={id}>
      <header><h2 id={name}>{title}</h2>{aside}</header>
      {flush ? children : <div class="body">{children}</div>}
    </section>
  )
}

// Fact is one term and its value, in a <dl class="facts"> or "summary".
export function Fact({ name, children, text }: Children & { name: string; text?: boolean }) {
  return <div><dt>{name}</dt><dd class={text ? 'text' : undefined}>{children}</dd></div>
}

// Usage is the shares of a task's time as a bar and, for those who do not see it, as words.
export function Usage({ busy, pressed }: { busy: number | null; pressed: number | null }) {
  const b = Math.min(1, Math.max(0, busy ?? 0))
  const p = Math.min(1 - b, Math.max(0, pressed ?? 0))
  return (
    <span class="meter" role="img" aria-label={busy === null ? 'usage unknown' : `busy ${percent(busy)}, back-pressured ${percent(pressed)}`}>
      <i class="busy" style={{ width: `${b * 100}%` }} />
      <i class="pressed" style={{ width: `${p * 100}%` }} />
      {busy !== null && <i class="idle" style={{ width: `${(1 - b - p) * 100}%` }} />}
    </span>
  )
}

// Level is how full something is.
export function Level({ value, of, label }: { value: number | null; of: number | null; label: string }) {
  const part = value !== null && of ? Math.min(1, value / of) : 0
  return <span class="meter" role="img" aria-label={label}><i class={part > 0.9 ? 'high' : ''} style={{ width: `${part * 100}%` }} /></span>
}

export function Notice({ tone, children, alert }: Children & { tone: 'warn' | 'bad' | 'info'; alert?: boolean }) {
  return <div class={`notice ${tone}`} role={alert ? 'alert' : undefined}>{children}</div>
}

// Fault shows what went wrong, line by line as the jobmanager said it.
export function Fault({ text }: { text: string }) {
  return <Notice tone="bad" alert><pre>{text}</pre></Notice>
}

export function Spinner({ label }: { label: string }) {
  return <span class="row" role="status"><i class="spinner" aria-hidden="true" />{label}</span>
}

export function Empty({ title, page, children }: Children & { title: string; page?: boolean }) {
  return <div class="empty">{page ? <h1>{title}</h1> : <h3>{title}</h3>}{children}</div>
}

// Copy puts text on the clipboard. Without https a browser may have none to give: then it selects the text.
export function useCopy(): [boolean, (text: string, from?: Element | null) => void] {
  const [done, set] = useState(false)
  useEffect(() => {
    if (!done) return
    const t = setTimeout(() => set(false), 1600)
    return () => clearTimeout(t)
  }, [done])
  return [done, (text, from) => {
    const select = () => {
      const range = document.createRange()
      if (!from) return
      range.selectNodeContents(from)
      getSelection()?.removeAllRanges()
      getSelection()?.addRange(range)
      // The only way on a page without https, however old.
      if (document.execCommand('copy')) set(true)
    }
    if (!navigator.clipboard) return select()
    navigator.clipboard.writeText(text).then(() => set(true), select)
  }]
}

export function Command({ text }: { text: string }) {
  const code = useRef<HTMLElement>(null)
  const [done, copy] = useCopy()
  return (
    <div class="command">
      <code ref={code} tabIndex={0}>{text}</code>
      <button type="button" onClick={() => copy(text, code.current)} aria-label={`Copy: ${text}`}>{done ? 'Copied' : 'Copy'}</button>
    </div>
  )
}

export interface Tab {
  id: string
  label: string
  href: string
  n?: string | number
  bad?: boolean
}

// Tabs are links: each has an address of its own, and the browser's back works.
export function Tabs({ tabs, current, label }: { tabs: Tab[]; current: string; label: string }) {
  const nav = useRef<HTMLElement>(null)
  // On a phone not all of them find room.
  useEffect(() => {
    const el = nav.current
    const tab = el?.querySelector<HTMLElement>('[aria-current]')
    if (el && tab) el.scrollLeft = tab.offsetLeft - (el.clientWidth - tab.offsetWidth) / 2
  }, [current])
  return (
    <nav class="tabs" aria-label={label} ref={nav}>
      {tabs.map((t) => (
        <a key={t.id} href={t.href} aria-current={t.id === current ? 'page' : undefined}>
          {t.label}{t.n ? <span class={`n ${t.bad ? 'bad' : ''}`}>{t.n}</span> : null}
        </a>
      ))}
    </nav>
  )
}

export function Segmented<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: [T, string][]; onChange: (v: T) => void }) {
  return (
    <div class="segmented" role="group" aria-label={label}>
      {options.map(([v, name]) => <button key={v} type="button" aria-pressed={v === value} onClick={() => onChange(v)}>{name}</button>)}
    </div>
  )
}

export function Field({ label, hint, children }: Children & { label: string; hint?: string }) {
  return <label class="field"><span>{label}</span>{children}{hint && <small class="muted">{hint}</small>}</label>
}

// Dialog is modal, closes with Escape, and gives the focus back: the browser's own.
export function Dialog({ title, children, onClose }: Children & { title: string; onClose: () => void }) {
  const ref = useRef<HTMLDialogElement>(null)
  const name = useId()
  useEffect(() => {
    const d = ref.current!
    if (!d.open) d.showModal()
    return () => d.close()
  }, [])
  return (
    <dialog ref={ref} aria-labelledby={name} onClose={onClose}>
      <div class="inside"><h2 id={name}>{title}</h2>{children}</div>
    </dialog>
  )
}

// Scroll is a region that scrolls sideways, and can be scrolled with the keyboard.
export function Scroll({ children, label }: Children & { label: string }) {
  return <div class="scroll" role="group" aria-label={label} tabIndex={0}>{children}</div>
}

// More shows the rest of a long table.
export function More({ all, n, first, set }: { all: boolean; n: number; first: number; set: (all: boolean) => void }) {
  if (n <= first) return null
  return <div style={{ padding: '8px 4px' }}><button type="button" class="button quiet" aria-expanded={all} onClick={() => set(!all)}>{all ? 'Show the newest' : `Show all ${n}`}</button></div>
}

const kindNames: Record<string, string> = { '+I': 'insert', '-U': 'update before', '+U': 'update after', '-D': 'delete' }

// DataTable shows rows with their kinds.
export function DataTable({ columns, rows, label }: { columns: Column[]; rows: { kind: string; values: unknown[] }[]; label: string }) {
  const kinds = rows.some((r) => r.kind && r.kind !== '+I')
  const numeric = columns.map((c) => /^(TINYINT|SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DECIMAL|NUMERIC)/i.test(c.type))
  return (
    <Scroll label={label}>
      <table class="data">
        <thead><tr>{kinds && <th scope="col">kind</th>}{columns.map((c, k) => <th key={c.name} scope="col" class={numeric[k] ? 'num' : undefined}>{c.name} <small>{c.type}</small></th>)}</tr></thead>
        <tbody>
          {rows.map((r, i) => (
            <tr key={i}>
              {kinds && <td><abbr title={kindNames[r.kind] ?? ''}>{r.kind}</abbr></td>}
              {r.values.map((v, k) => <td key={k} class={(v === null ? 'null' : '') + (numeric[k] ? ' num' : '')} title={typeof v === 'string' && v.length > 40 ? v : undefined}>{cell(v)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

// follows opens a row's link for a click anywhere in the row, without taking clicks from what is in it.
export function rowLink(to: string): HTMLAttributes<HTMLTableRowElement> {
  return {
    class: 'link',
    onClick: (e) => {
      if (e.target instanceof Element && !e.target.closest('a,button,input') && !getSelection()?.toString()) location.hash = to
    },
  }
}

// Icons, on a grid of 16.
const paths = {
  sun: 'M8 4.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7ZM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1.100 1.100M11.900 11.900 13 13M13 3l-1.100 1.100M4.100 11.900 3 13',
  moon: 'M13.500 9.800A6 6 0 0 1 6.200 2.500a6 6 0 1 0 7.300 7.300Z',
  close: 'M4 4l8 8M12 4l-8 8',
  out: 'M6 2.500H3.500v11H6M10 11l3-3-3-3M13 8H6.500',
  play: 'M5 3.500v9l7-4.500-7-4.500Z',
  stop: 'M4.500 4.500h7v7h-7z',
}

export function Icon({ name }: { name: keyof typeof paths }) {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round">
      <path d={paths[name]} />
    </svg>
  )
}
