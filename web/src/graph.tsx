// The dataflow graph: of a plan, or of a running job with its rates. Vertices are buttons over a drawing of the edges.
import { useEffect, useMemo } from 'preact/hooks'
import { duration, percent, rate, whole } from './format.ts'
import { useMedia, useWidth } from './hooks.ts'
import { layout, type Layout } from './layout.ts'
import type { Edge, PlanVertex, Vertex } from './types.ts'
import { Usage } from './ui.tsx'

const vertexWidth = 232
const vertexWidthNarrow = 190
const lineHeight = 18
// More operators than this are counted instead of named.
const operatorsShown = 6

const live = (v: PlanVertex): v is Vertex => 'tasks' in v || 'state' in v

const kindMarks: [RegExp, string][] = [
  [/source|scan|values/i, '▸'], [/sink/i, '▪'], [/window/i, '◷'], [/group|aggreg/i, 'Σ'], [/join|lookup/i, '⋈'], [/watermark/i, '≈'], [/filter|calc|project/i, 'ƒ'],
]

export const markOf = (kind: string, name: string) => kindMarks.find(([re]) => re.test(kind) || re.test(name))?.[1] ?? '·'

// title is a vertex in a word: what it reads, what it writes, else what it does first. Its full name lists every operator.
export function title(v: PlanVertex): string {
  const ends = (re: RegExp) => (v.operators ?? []).filter((o) => re.test(o.name)).map((o) => o.name.replace(re, ''))
  const sources = ends(/^source: */i)
  const sinks = ends(/^sink: */i)
  return [sources.join(', '), sinks.join(', ')].filter(Boolean).join(' → ') || v.operators?.[0]?.name || v.name || v.id
}

function heightOf(v: PlanVertex): number {
  const n = v.operators?.length ?? 0
  const shown = n > operatorsShown ? operatorsShown + 1 : n
  const running = live(v) ? 6 + 6 + 6 + 16 + 6 + 16 : 0
  return 10 + lineHeight + (shown ? 6 + shown * lineHeight : 0) + running + 12
}

// tint says which state colours a vertex, and how much.
export function tint(v: Vertex): { color: string; amount: number } {
  if (/FAIL/.test(v.state)) return { color: 'var(--bad)', amount: 0.3 }
  const busy = v.busyRatio ?? 0
  const pressed = v.backpressuredRatio ?? 0
  if (pressed > 0.1 && pressed >= busy) return { color: 'var(--pressed)', amount: Math.min(1, 0.2 + pressed * 0.8) }
  if (busy > 0.005) return { color: 'var(--busy)', amount: Math.min(1, 0.15 + busy * 0.85) }
  return { color: 'var(--idle)', amount: 0.2 }
}

// middle shortens a name in its middle: long names often differ at their end only. Whole, it is in a title.
export function middle(name: string, most: number): string {
  if (name.length <= most) return name
  const end = Math.floor((most - 1) / 2)
  return name.slice(0, most - 1 - end) + '…' + name.slice(-end)
}

// arrange draws from left to right; on a narrow screen from top to bottom, unless what lies side by side would then be too much for it.
export function arrange(vertices: readonly PlanVertex[], edges: readonly Edge[], narrow: boolean): Layout {
  const lay = (direction: 'lr' | 'tb', layerGap: number) => layout(
    vertices.map((v) => ({ id: v.id, width: narrow ? vertexWidthNarrow : vertexWidth, height: heightOf(v) })), edges, { direction, layerGap, nodeGap: narrow ? 16 : 28 })
  if (!narrow) return lay('lr', 124)
  const down = lay('tb', 48)
  const right = lay('lr', 104)
  return down.width <= right.width ? down : right
}

interface GraphProps {
  vertices: readonly PlanVertex[]
  edges: readonly Edge[]
  selected?: string | undefined
  onSelect?: (id: string) => void
}

export function Graph({ vertices, edges, selected, onSelect }: GraphProps) {
  const narrow = useMedia('(max-width: 640px)')
  const [ref, width] = useWidth<HTMLDivElement>()
  // Numbers change every second; the layout only when the shape does.
  const shape = vertices.map((v) => `${v.id}:${heightOf(v)}`).join() + '|' + edges.map((e) => `${e.source}>${e.target}`).join()
  const placed = useMemo(() => arrange(vertices, edges, narrow), [shape, narrow])
  // Narrow screens begin with what feeds everything, which stands in the middle of its row.
  useEffect(() => {
    const el = ref.current
    if (el && narrow) el.scrollLeft = (el.scrollWidth - el.clientWidth) / 2
  }, [placed, narrow, width > 0])
  const pad = narrow ? 10 : 28
  // A little too wide is drawn a little smaller; more than that scrolls.
  const room = width - 2 * pad
  const scale = width && placed.width > room ? Math.max(0.72, room / placed.width) : 1
  return (
    <div class="graph" ref={ref} role="group" aria-label="Dataflow graph" tabIndex={0}>
      <div class="canvas" style={{ width: `${placed.width * scale + 2 * pad}px`, height: `${placed.height * scale + 2 * pad}px` }}>
        <div style={{ position: 'absolute', left: `${pad}px`, top: `${pad}px`, width: `${placed.width}px`, height: `${placed.height}px`, transform: `scale(${scale})`, transformOrigin: '0 0' }}>
          <Edges edges={edges} placed={placed} vertices={vertices} />
          {vertices.map((v) => <VertexBox key={v.id} v={v} placed={placed} selected={v.id === selected} onSelect={onSelect} />)}
        </div>
      </div>
    </div>
  )
}

function Edges({ edges, placed, vertices }: { edges: readonly Edge[]; placed: Layout; vertices: readonly PlanVertex[] }) {
  const byId = new Map(vertices.map((v) => [v.id, v]))
  return (
    <>
      <svg class="edges" width={placed.width} height={placed.height} aria-hidden="true">
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">
            <path d="M0 0.500 7.500 4 0 7.500Z" style={{ fill: 'var(--line-strong)', stroke: 'none', opacity: 1 }} />
          </marker>
        </defs>
        {edges.map((e, i) => {
          const from = byId.get(e.source)
          const pressed = from && live(from) && (from.backpressuredRatio ?? 0) > 0.1
          const r = e.recordsPerSecond ?? 0
          const thick = 1.25 + Math.min(2.5, Math.log10(1 + r) * 0.6)
          return placed.routes[i] && <path key={i} d={placed.routes[i]!.path} class={pressed ? 'pressed' : ''} stroke-width={thick} marker-end="url(#arrow)" stroke-dasharray={e.kind === 'broadcast' ? '6 4' : undefined} />
        })}
      </svg>
      {edges.map((e, i) => {
        const at = placed.routes[i]
        const kind = e.tag ? `${e.tag} rows` : e.kind
        const known = e.recordsPerSecond !== undefined && e.recordsPerSecond !== null
        return at && (known || kind) && (
          <span key={i} class="edge-label" style={{ left: `${at.x}px`, top: `${at.y}px` }} title={kindTitles[e.kind] ?? e.kind}>
            {known && <b>{rate(e.recordsPerSecond)}</b>}{known && kind !== 'forward' ? ' ' : ''}{(!known || kind !== 'forward') && kind}
          </span>
        )
      })}
    </>
  )
}

const kindTitles: Record<string, string> = {
  forward: 'each task to the task of the same number', hash: 'by key', broadcast: 'every row to every task', rebalance: 'to all tasks in turn',
}

function VertexBox({ v, placed, selected, onSelect }: { v: PlanVertex; placed: Layout; selected: boolean; onSelect: ((id: string) => void) | undefined }) {
  const at = placed.nodes.get(v.id)
  if (!at) return null
  const t = live(v) ? tint(v) : { color: 'var(--accent)', amount: 0 }
  const style = {
    left: `${at.x}px`, top: `${at.y}px`, width: `${at.width}px`, height: `${at.height}px`,
    '--tint': t.color, '--amount': `${Math.round(t.amount * 22)}%`,
  }
  const operators = v.operators ?? []
  // So many letters of the title find room; those of the operators are smaller.
  const letters = Math.floor((at.width - 66) / 8.2)
  const inside = (
    <>
      <span class="title"><span class="clip" title={v.name}>{middle(title(v), letters)}</span><span class="p">{v.parallelism ? `× ${v.parallelism}` : ''}</span></span>
      <span class="ops">
        {operators.slice(0, operatorsShown).map((o) => (
          <span class="op" key={o.id}><span class="kind" aria-hidden="true">{markOf(o.kind, o.name)}</span><span class="clip" title={o.name}>{middle(o.name, letters + 5)}</span></span>
        ))}
        {operators.length > operatorsShown && <span class="op">and {operators.length - operatorsShown} more</span>}
      </span>
      {live(v) && <Running v={v} />}
    </>
  )
  if (!onSelect) return <div class="vertex still" style={style}>{inside}</div>
  return (
    <div class="vertex" style={style} role="button" tabIndex={0} aria-pressed={selected} data-vertex={v.id}
      onClick={() => onSelect(v.id)} onKeyDown={(e) => {
        if (e.key === 'Enter' || e.key === ' ') {
          e.preventDefault()
          onSelect(v.id)
        }
      }}>{inside}</div>
  )
}

// From so much on back-pressure is worth more than the rate, which its edges have as well.
const pressedShown = 0.05

function Running({ v }: { v: Vertex }) {
  return (
    <>
      <span style={{ display: 'flex' }} aria-hidden="true"><Usage busy={v.busyRatio} pressed={v.backpressuredRatio} /></span>
      <span class="rates"><span>busy {percent(v.busyRatio)}</span>
        {v.state === 'RUNNING' && (v.backpressuredRatio ?? 0) >= pressedShown ? <span class="warn">pressed {percent(v.backpressuredRatio)}</span>
          : <span class="muted">{v.state !== 'RUNNING' ? v.state.toLowerCase() : rate((v.recordsInPerSecond || v.recordsOutPerSecond) ?? null)}</span>}</span>
      <span class="marks">
        <span>{v.watermarkLagMs === null ? 'no watermark' : `lag ${duration(v.watermarkLagMs)}`}</span>
        {v.late ? <span class="warn">{whole(v.late)} late</span> : null}
        {v.bad ? <span class="bad">{whole(v.bad)} bad</span> : null}
      </span>
    </>
  )
}

export function Legend() {
  return (
    <div class="legend">
      {([['Busy', '--busy'], ['Back-pressured', '--pressed'], ['Idle', '--idle'], ['Failed', '--bad']] as const).map(([name, c]) => (
        <span key={name}><i style={{ '--c': `var(${c})` }} aria-hidden="true" />{name}</span>
      ))}
    </div>
  )
}
