// A flame graph of a CPU profile: wide is expensive, children hang below. And the same as a table, for those who cannot see it.
import { useMemo, useState } from 'preact/hooks'
import { percent } from './format.ts'
import { useWidth } from './hooks.ts'
import type { Frame } from './types.ts'
import { Scroll } from './ui.tsx'

const rowHeight = 19
// Narrower than this, in pixels, is not drawn: nobody could hit it.
const narrowest = 1.5
const depthMax = 90

export interface Bar {
  frame: Frame
  x: number // 0..1
  width: number // 0..1
  depth: number
}

// bars lays the frames out below root; what is narrower than least is left out, with all below it.
export function bars(root: Frame, least: number): Bar[] {
  const out: Bar[] = []
  const walk = (frame: Frame, x: number, depth: number) => {
    const width = root.value ? frame.value / root.value : 0
    if (width < least || depth > depthMax) return
    out.push({ frame, x, width, depth })
    let at = x
    for (const c of [...(frame.children ?? [])].sort((a, b) => b.value - a.value)) {
      walk(c, at, depth + 1)
      at += root.value ? c.value / root.value : 0
    }
  }
  walk(root, 0, 0)
  return out
}

// selfTimes sums for each function what it used itself, not through what it called.
export function selfTimes(root: Frame): { name: string; self: number; total: number }[] {
  const by = new Map<string, { self: number; total: number }>()
  const walk = (f: Frame, above: Set<string>) => {
    const e = by.get(f.name) ?? { self: 0, total: 0 }
    by.set(f.name, e)
    const children = f.children ?? []
    e.self += f.value - children.reduce((s, c) => s + c.value, 0)
    // A function that calls itself counts once.
    const fresh = !above.has(f.name)
    if (fresh) {
      e.total += f.value
      above.add(f.name)
    }
    for (const c of children) walk(c, above)
    if (fresh) above.delete(f.name)
  }
  walk(root, new Set())
  return [...by].map(([name, e]) => ({ name, ...e })).sort((a, b) => b.self - a.self)
}

// short leaves out the directories of a package: github.com/a/b/engine/vec.Sum is vec.Sum.
export const short = (name: string) => name.replace(/^.*\/(?=[^/]*$)/, '')

// hue keeps a package in one colour from graph to graph.
function color(name: string): string {
  const pkg = short(name).split('.')[0] ?? ''
  let h = 0
  for (const c of pkg) h = (h * 31 + c.charCodeAt(0)) | 0
  if (pkg === 'runtime') return 'hsl(260 12% 76%)'
  return `hsl(${20 + (Math.abs(h) % 50) + (name.includes('/bramble') ? 220 : 0)} 70% 76%)`
}

export function Flame({ root }: { root: Frame }) {
  const [ref, width] = useWidth<HTMLDivElement>()
  const [path, setPath] = useState<Frame[]>([])
  const [over, setOver] = useState<Frame>()
  const [find, setFind] = useState('')
  const focus = path[path.length - 1] ?? root
  const shown = useMemo(() => (width ? bars(focus, narrowest / width) : []), [focus, width])
  const rows = 1 + Math.max(0, ...shown.map((b) => b.depth))
  const named = over ?? focus
  const match = (name: string) => find !== '' && name.toLowerCase().includes(find.toLowerCase())
  return (
    <div class="stack">
      <div class="row">
        <input class="input" style={{ width: '220px' }} type="search" placeholder="find a function" aria-label="Find a function" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
        {path.length > 0 && <button type="button" class="button" onClick={() => setPath([])}>Show all</button>}
        <span class="grow clip mono" aria-live="polite" title={named.name}>{named.name} <span class="muted">{percent(named.value / (root.value || 1))}</span></span>
      </div>
      <div class="flame" ref={ref}>
        <svg height={rows * rowHeight} role="group" aria-label="Flame graph">
          {shown.map((b, i) => {
            const px = b.width * width
            return (
              <g key={i} tabIndex={px > 40 ? 0 : -1} role="button" aria-label={`${b.frame.name}, ${percent(b.frame.value / (root.value || 1))}`} class={find && !match(b.frame.name) ? 'dim' : ''}
                onClick={() => setPath(b.depth ? [...path, b.frame] : path)} onPointerEnter={() => setOver(b.frame)} onPointerLeave={() => setOver(undefined)}
                onFocus={() => setOver(b.frame)} onBlur={() => setOver(undefined)}
                onKeyDown={(e) => {
                  if (e.key === 'Enter') setPath(b.depth ? [...path, b.frame] : path)
                  if (e.key === 'Escape') setPath(path.slice(0, -1))
                }}>
                <rect x={b.x * width} y={b.depth * rowHeight} width={Math.max(0.5, px - 0.5)} height={rowHeight - 1} rx="2" fill={match(b.frame.name) ? '#f5c542' : color(b.frame.name)} />
              </g>
            )
          })}
          <g aria-hidden="true">
            {shown.filter((b) => b.width * width > 34).map((b, i) => <text key={i} x={b.x * width + 5} y={b.depth * rowHeight + 13}>{clip(short(b.frame.name), b.width * width - 10)}</text>)}
          </g>
        </svg>
      </div>
      <Top root={root} />
    </div>
  )
}

// A letter of the monospaced 11 px font is this wide.
const letter = 6.65

const clip = (s: string, px: number) => (s.length * letter <= px ? s : s.slice(0, Math.max(0, Math.floor(px / letter) - 1)) + '…')

function Top({ root }: { root: Frame }) {
  const rows = useMemo(() => selfTimes(root).filter((r) => r.self > 0).slice(0, 20), [root])
  return (
    <Scroll label="Functions by their own time">
      <table>
        <caption class="visually-hidden">Functions by their own time</caption>
        <thead><tr><th scope="col">Function</th><th scope="col" class="num">Itself</th><th scope="col" class="num">In total</th></tr></thead>
        <tbody>
          {rows.map((r) => (
            <tr key={r.name}><td class="mono" title={r.name}>{short(r.name)}</td><td class="num">{percent(r.self / root.value)}</td><td class="num">{percent(r.total / root.value)}</td></tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}
