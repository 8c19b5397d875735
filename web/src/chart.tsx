// Small time series. One unit a chart, at most three lines, the newest value in words beside the name.
import { useState } from 'preact/hooks'
import { clock, ticks } from './format.ts'
import { useWidth } from './hooks.ts'

export interface Line {
  name: string
  values: readonly (number | null)[]
}

const height = 116
const top = 10
const bottom = 18
const left = 44

// segments cuts a line at its gaps into runs of points.
export function segments(values: readonly (number | null)[]): [number, number][][] {
  const out: [number, number][][] = []
  let run: [number, number][] = []
  values.forEach((v, i) => {
    if (v !== null && Number.isFinite(v)) run.push([i, v])
    else if (run.length) {
      out.push(run)
      run = []
    }
  })
  if (run.length) out.push(run)
  return out
}

interface ChartProps {
  title: string
  times: readonly number[]
  lines: readonly Line[]
  format: (n: number | null) => string
  max?: number
}

export function Chart({ title, times, lines, format, max }: ChartProps) {
  const [ref, width] = useWidth<HTMLElement>()
  const [at, setAt] = useState<number | null>(null)
  const inner = Math.max(10, width - 32 - left)
  const highest = Math.max(0, ...lines.flatMap((l) => l.values.map((v) => v ?? 0)))
  const marks = max ? [0, max / 2, max] : ticks(highest)
  const scale = marks[marks.length - 1] || 1
  const n = Math.max(1, times.length - 1)
  const x = (i: number) => left + (i / n) * inner
  const y = (v: number) => top + (1 - Math.min(v, scale) / scale) * (height - top - bottom)
  const last = at !== null && at < times.length ? at : times.length - 1
  const latest = (l: Line) => (at !== null ? l.values[last] : l.values.findLast((v) => v !== null)) ?? null
  const summary = lines.map((l) => `${l.name} ${format(latest(l))}`).join(', ')
  const move = (e: PointerEvent) => {
    const box = (e.currentTarget as Element).getBoundingClientRect()
    const i = Math.round(((e.clientX - box.left - left) / inner) * n)
    setAt(i >= 0 && i < times.length ? i : null)
  }
  return (
    <figure class="card chart" ref={ref}>
      <figcaption>
        <span>{title}</span>
        <span class="now">
          {at !== null && <span>{clock(times[last])}</span>}
          {lines.map((l, i) => <span key={l.name}>{lines.length > 1 && <><i style={{ '--c': `var(--series-${i + 1})` }} />{l.name} </>}<b>{format(latest(l))}</b></span>)}
        </span>
      </figcaption>
      <svg role="img" aria-label={`${title} of the last hour; now ${summary}; at most ${format(highest)}`} onPointerMove={move} onPointerLeave={() => setAt(null)}>
        {marks.map((m) => (
          <g key={m}>
            <line class="gridline" x1={left} x2={left + inner} y1={y(m)} y2={y(m)} />
            <text x={left - 6} y={y(m) + 3.5} text-anchor="end">{m === 0 ? '0' : format(m)}</text>
          </g>
        ))}
        {times.length > 1 && <text x={left} y={height - 3}>{clock(times[0])}</text>}
        {times.length > 1 && <text x={left + inner} y={height - 3} text-anchor="end">{clock(times[times.length - 1])}</text>}
        {times.length < 2 && <text x={left + inner / 2} y={height / 2} text-anchor="middle">the first points come in a few seconds</text>}
        {lines.map((l, i) => segments(l.values).map((run) => {
          const d = run.map(([k, v]) => `${x(k).toFixed(1)},${y(v).toFixed(1)}`).join('L')
          return (
            <g key={`${l.name}${run[0]![0]}`} style={{ '--c': `var(--series-${i + 1})` }}>
              {i === 0 && run.length > 1 && <path class="area" d={`M${x(run[0]![0])},${y(0)}L${d}L${x(run[run.length - 1]![0])},${y(0)}Z`} />}
              <path class="line" d={run.length > 1 ? `M${d}` : `M${d}h1.5`} stroke-linecap="round" stroke-dasharray={i === 1 ? '5 2' : i === 2 ? '2 2' : undefined} />
            </g>
          )
        }))}
        {at !== null && <line class="cursor" x1={x(last)} x2={x(last)} y1={top} y2={height - bottom} />}
      </svg>
    </figure>
  )
}
