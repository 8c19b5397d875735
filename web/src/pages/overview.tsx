// A job's graph, the vertex that was chosen, and the last hour.
import { useState } from 'preact/hooks'
import { bytes, count, duration, percent, rate, setting, watermark, whole } from '../format.ts'
import { href, replace, useGet } from '../hooks.ts'
import { Chart } from '../chart.tsx'
import { Sql } from '../code.tsx'
import { Graph, Legend, markOf, title } from '../graph.tsx'
import type { Job, Operator, Series, Task, Vertex } from '../types.ts'
import { ended } from '../types.ts'
import { Badge, Card, Empty, Fact, Icon, Scroll, Usage } from '../ui.tsx'
import { Tail } from './tail.tsx'

// How often the last hour is fetched: its points are ten seconds apart.
const seriesMs = 10_000

export function OverviewTab({ job, query }: { job: Job; query: URLSearchParams }) {
  const vertices = job.vertices ?? []
  const chosen = vertices.find((v) => v.id === query.get('vertex'))
  const here = href('jobs', job.id)
  const select = (id: string) => replace(chosen?.id === id ? here : `${href('jobs', job.id, 'overview')}?vertex=${encodeURIComponent(id)}`)
  return (
    <div class="stack">
      <Card title="Dataflow" aside={<Legend />} flush>
        {vertices.length ? <Graph vertices={vertices} edges={job.edges ?? []} selected={chosen?.id} onSelect={select} /> : <Empty title="The graph of this job is not known"><p>It ended before this jobmanager was started.</p></Empty>}
      </Card>
      {chosen && <VertexPanel job={job} v={chosen} close={() => replace(here)} />}
      <LastHour job={job} />
    </div>
  )
}

function LastHour({ job }: { job: Job }) {
  const { doc } = useGet<Series>(`jobs/${encodeURIComponent(job.id)}/series`, ended(job.state) ? 0 : seriesMs)
  const times = doc?.times ?? []
  const line = (key: string, name: string) => ({ name, values: doc?.series[key] ?? [] })
  return (
    <section aria-label="The last hour" class="charts">
      <Chart title="Records" times={times} format={rate} lines={[line('recordsIn', 'in'), line('recordsOut', 'out')]} />
      <Chart title="Busiest vertex" times={times} format={percent} max={1} lines={[line('busy', 'busy'), line('backpressured', 'pressed')]} />
      <Chart title="Watermark lag" times={times} format={duration} lines={[line('watermarkLagMs', 'lag')]} />
      <Chart title="Checkpoint duration" times={times} format={duration} lines={[line('checkpointMs', 'duration')]} />
      <Chart title={`Late and bad in ${setting(doc?.stepMs ?? seriesMs)}`} times={times} format={count} lines={[line('late', 'late'), line('bad', 'bad')]} />
    </section>
  )
}

// flowOf is what a task is compared by: what comes in, or of a source, which has no input, what goes out.
function flowOf(tasks: readonly Task[]): (t: Task) => number | null {
  const takes = tasks.some((t) => (t.recordsInPerSecond ?? 0) > 0)
  return (t) => (takes ? t.recordsInPerSecond : t.recordsOutPerSecond)
}

function VertexPanel({ job, v, close }: { job: Job; v: Vertex; close: () => void }) {
  const tasks = v.tasks ?? []
  const uneven = skew(tasks.map(flowOf(tasks)))
  return (
    <Card title={title(v)} aside={<><Badge state={v.state} /><button type="button" class="button icon quiet panel-close" onClick={close} aria-label="Close this panel"><Icon name="close" /></button></>} flush>
      <div class="body stack">
        {v.name !== title(v) && <p class="muted small" style={{ overflowWrap: 'anywhere' }}>{v.name}</p>}
        <dl class="facts">
          <Fact name="In">{rate(v.recordsInPerSecond)}</Fact>
          <Fact name="Out">{rate(v.recordsOutPerSecond)}</Fact>
          <Fact name="Records in / out">{count(v.recordsIn)} / {count(v.recordsOut)}</Fact>
          <Fact name="Bytes in / out">{bytes(v.bytesIn)} / {bytes(v.bytesOut)}</Fact>
          <Fact name="State">{bytes(v.stateBytes)}</Fact>
          <Fact name="Keys">{count(v.stateKeys)}</Fact>
          <Fact name="Latency p50 / p95 / p99">{v.latency ? `${duration(v.latency.p50)} / ${duration(v.latency.p95)} / ${duration(v.latency.p99)}` : '–'}</Fact>
          <Fact name="Watermark">{watermark(v.watermark)}</Fact>
          <Fact name="Lag">{duration(v.watermarkLagMs)}</Fact>
          {uneven !== null && <Fact name="Skew"><span class={uneven > skewHigh ? 'warn' : ''}>{uneven.toFixed(1)} ×</span></Fact>}
        </dl>
      </div>
      <Tasks tasks={tasks} />
      <div class="body stack">
        <Operators job={job} v={v} />
        <Tail job={job} v={v} />
      </div>
    </Card>
  )
}

// skew is how much more the busiest task does than the average one, 1 for none; null where it says nothing.
export function skew(values: readonly (number | null)[]): number | null {
  const known = values.filter((v) => v !== null)
  const total = known.reduce((a, b) => a + b, 0)
  if (known.length < 2 || total <= 0) return null
  return (Math.max(...known) * known.length) / total
}

// Skew above this is worth a colour: one task does half as much again as its share.
const skewHigh = 1.5

function Tasks({ tasks }: { tasks: Task[] }) {
  const flow = flowOf(tasks)
  const most = Math.max(0, ...tasks.map((t) => flow(t) ?? 0))
  const largest = Math.max(0, ...tasks.map((t) => t.stateBytes ?? 0))
  return (
    <Scroll label="Tasks">
      <table class="bars blocks">
        <caption class="visually-hidden">Tasks of this vertex</caption>
        <thead>
          <tr><th scope="col">Task</th><th scope="col">State</th><th scope="col">Records</th>
            <th scope="col">Busy, back-pressured</th><th scope="col">State size</th><th scope="col" class="num">Keys</th><th scope="col" class="num">Watermark</th><th scope="col" class="num">Late / bad</th><th scope="col">Taskmanager</th></tr>
        </thead>
        <tbody>
          {tasks.map((t) => (
            <tr key={t.index}>
              <td class="nowrap" data-label="Task">{t.index}{t.attempt ? <span class="muted small"> attempt {t.attempt}</span> : null}</td>
              <td class="span2"><Badge state={t.state} /></td>
              <td class="all" data-label="Records"><Bar value={flow(t)} of={most} text={rate(flow(t))} /></td>
              <td class="all" data-label="Busy, back-pressured"><span class="bar"><Usage busy={t.busyRatio} pressed={t.backpressuredRatio} /><span>{percent(t.busyRatio)}{(t.backpressuredRatio ?? 0) >= 0.005 ? `, ${percent(t.backpressuredRatio)}` : ''}</span></span></td>
              <td class="all" data-label="State size"><Bar value={t.stateBytes} of={largest} text={bytes(t.stateBytes)} /></td>
              <td class="num" data-label="Keys">{count(t.stateKeys)}</td>
              <td class="num" data-label="Watermark">{watermark(t.watermark).replace(/^.* /, '')}</td>
              <td class="num" data-label="Late / bad">{whole(t.late)} / <span class={t.bad ? 'bad' : ''}>{whole(t.bad)}</span></td>
              <td class="nowrap all" data-label="Taskmanager">{t.taskmanager ? <a href={href('taskmanagers', t.taskmanager)}>{t.taskmanager.slice(0, 24)}</a> : '–'}{t.error && <span class="sub bad">{t.error}</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

function Bar({ value, of, text }: { value: number | null; of: number; text: string }) {
  return <span class="bar"><span class="meter" aria-hidden="true"><i style={{ width: `${of > 0 ? (100 * (value ?? 0)) / of : 0}%` }} /></span><span>{text}</span></span>
}

function Operators({ job, v }: { job: Job; v: Vertex }) {
  // A source's own text is but its name; the longest says most.
  const longest = (v.operators ?? []).reduce<Operator | undefined>((a, o) => ((o.sqlText?.length ?? 0) > (a?.sqlText?.length ?? 0) ? o : a), undefined)
  const [open, setOpen] = useState(longest?.id ?? '')
  const metrics = new Map((v.operatorMetrics ?? []).map((m) => [m.id, m]))
  const chosen = v.operators?.find((o) => o.id === open)
  return (
    <div class="tight">
      <h3>Operators</h3>
      <Scroll label="Operators">
        <table>
          <thead><tr><th scope="col">Operator</th><th scope="col" class="num">In</th><th scope="col" class="num">Out</th><th scope="col" class="num">Late</th><th scope="col" class="num">Bad</th><th scope="col" class="num">State</th><th scope="col" class="num">Keys</th><th scope="col">SQL</th></tr></thead>
          <tbody>
            {(v.operators ?? []).map((o) => {
              const m = metrics.get(o.id)
              return (
                <tr key={o.id}>
                  <td><span class="muted" aria-hidden="true">{markOf(o.kind, o.name)} </span>{o.name}<span class="sub">{o.kind}</span></td>
                  <td class="num">{count(m?.recordsIn)}</td><td class="num">{count(m?.recordsOut)}</td>
                  <td class={`num ${m?.late ? 'warn' : ''}`}>{count(m?.late)}</td><td class={`num ${m?.bad ? 'bad' : ''}`}>{count(m?.bad)}</td>
                  <td class="num">{bytes(m?.stateBytes)}</td><td class="num">{count(m?.stateKeys)}</td>
                  <td class="nowrap">{o.sqlText ? <button type="button" class="button quiet" aria-pressed={o.id === open} onClick={() => setOpen(o.id === open ? '' : o.id)}>{o.sqlLine ? `line ${o.sqlLine}` : 'show'}</button> : '–'}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </Scroll>
      {chosen?.sqlText && <Fragment job={job} o={chosen} />}
    </div>
  )
}

function Fragment({ job, o }: { job: Job; o: Operator }) {
  return (
    <div class="tight">
      <pre class="code wrap sql-from" tabIndex={0} role="region" aria-label={`SQL of ${o.name}`}><Sql text={o.sqlText!} first={o.sqlLine ?? 1} /></pre>
      {o.sqlLine && job.script && <a class="small" href={`${href('jobs', job.id, 'sql')}?line=${o.sqlLine}`}>Line {o.sqlLine}{o.sqlColumn ? `, column ${o.sqlColumn}` : ''} of the script</a>}
    </div>
  )
}
