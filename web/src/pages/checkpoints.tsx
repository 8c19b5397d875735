// Checkpoints and savepoints: what they took, per task, and what can be done with them.
import { Fragment } from 'preact'
import { useState } from 'preact/hooks'
import { ago, bytes, dateTime, duration, setting } from '../format.ts'
import { title } from '../graph.tsx'
import { useNow, useSession } from '../hooks.ts'
import type { Checkpoint, CheckpointTask, Job } from '../types.ts'
import { Badge, Card, Command, Empty, Fact, More, Scroll } from '../ui.tsx'
import { ActionButton } from './actions.tsx'

// So many of the history are shown at first.
const shownFirst = 10

export function CheckpointsTab({ job }: { job: Job }) {
  const now = useNow()
  const { readOnly } = useSession()
  const [open, setOpen] = useState<number>()
  const [all, setAll] = useState(false)
  const c = job.checkpoints
  const history = c?.history ?? []
  const last = history.find((h) => h.state === 'completed')
  const names = new Map((job.vertices ?? []).map((v) => [v.id, title(v)]))
  return (
    <div class="stack">
      <section class="card" aria-label="Checkpoints in short">
        <dl class="summary">
          <Fact name="Completed">{c?.counts.completed ?? 0}</Fact>
          <Fact name="Failed"><span class={c?.counts.failed ? 'bad' : ''}>{c?.counts.failed ?? 0}</span></Fact>
          <Fact name="In progress">{c?.counts.inProgress ?? 0}</Fact>
          <Fact name="Restored">{c?.counts.restored ?? 0}</Fact>
          <Fact name="Interval">{setting(c?.interval || null)}</Fact>
          <Fact name="Newest">{last ? ago((last.triggeredAt ?? now) + (last.durationMs ?? 0), now) : '–'}</Fact>
          <Fact name="Its size">{bytes(last?.sizeBytes)}</Fact>
        </dl>
      </section>
      <Card title="History" aside={<ActionButton job={job} action="savepoint" />} flush>
        {history.length === 0 ? <Empty title="No checkpoint yet"><p>The first comes an interval after the start, if the jobmanager was started with <code>--checkpoint-dir</code>.</p></Empty> : (
          <Scroll label="Checkpoints">
            <table class="blocks">
              <thead><tr><th scope="col">Number</th><th scope="col">Kind</th><th scope="col">State</th><th scope="col" class="num">Triggered</th><th scope="col" class="num">Duration</th><th scope="col" class="num">Size</th><th scope="col" class="num">Increment</th><th scope="col" class="num">Alignment</th><th scope="col"><span class="visually-hidden">Details</span></th></tr></thead>
              <tbody>
                {history.slice(0, all ? undefined : shownFirst).map((h) => (
                  <Fragment key={h.id}>
                    <tr aria-selected={open === h.id}>
                      <td data-label="Number">{h.id}</td>
                      <td data-label="Kind">{h.kind === 'savepoint' ? <span class="badge plain accent">savepoint</span> : h.kind}</td>
                      <td><Badge state={h.state} />{h.error && <span class="sub bad">{h.error}</span>}</td>
                      <td class="num" data-label="Triggered">{dateTime(h.triggeredAt, now)}</td><td class="num" data-label="Duration">{duration(h.durationMs)}</td><td class="num" data-label="Size">{bytes(h.sizeBytes)}</td>
                      <td class="num" data-label="Increment">{bytes(h.incrementBytes)}</td><td class="num" data-label="Alignment">{duration(h.alignmentMs)}</td>
                      <td class="num"><button type="button" class="button quiet" aria-expanded={open === h.id} onClick={() => setOpen(open === h.id ? undefined : h.id)}>{open === h.id ? 'Less' : 'More'}<span class="visually-hidden"> of {h.kind} {h.id}</span></button></td>
                    </tr>
                    {open === h.id && <tr><td class="all" colSpan={9}><Details job={job} h={h} names={names} readOnly={readOnly} /></td></tr>}
                  </Fragment>
                ))}
              </tbody>
            </table>
            <More all={all} n={history.length} first={shownFirst} set={setAll} />
          </Scroll>
        )}
      </Card>
    </div>
  )
}

function Details({ job, h, names, readOnly }: { job: Job; h: Checkpoint; names: Map<string, string>; readOnly: boolean }) {
  return (
    <div class="stack" style={{ padding: '8px 0' }}>
      {h.path && <div class="row"><Command text={h.path} />{h.kind === 'savepoint' && h.state === 'completed' && job.script && !readOnly && <a class="button" href={`#/submit?from=${job.id}&savepoint=${encodeURIComponent(h.path)}`}>Start a job from this</a>}</div>}
      {h.tasks?.length ? <ByTask tasks={h.tasks} names={names} /> : <p class="muted">Nothing is known of its tasks.</p>}
    </div>
  )
}

function ByTask({ tasks, names }: { tasks: CheckpointTask[]; names: Map<string, string> }) {
  const longest = Math.max(1, ...tasks.map((t) => t.durationMs ?? 0))
  const place = [...names.keys()]
  const sorted = [...tasks].sort((a, b) => place.indexOf(a.vertex) - place.indexOf(b.vertex) || a.index - b.index)
  return (
    <Scroll label="Tasks of the checkpoint">
      <table class="blocks">
        <thead><tr><th scope="col">Vertex</th><th scope="col" class="num">Task</th><th scope="col">Duration</th><th scope="col" class="num">Alignment</th><th scope="col" class="num">Size</th><th scope="col" class="num">Increment</th></tr></thead>
        <tbody>
          {sorted.map((t) => (
            <tr key={`${t.vertex}/${t.index}`}>
              <td class="span2" data-label="Vertex">{names.get(t.vertex) ?? t.vertex}</td><td class="num" data-label="Task">{t.index}</td>
              <td class="all" data-label="Duration"><span class="bar"><span class="meter" aria-hidden="true"><i style={{ width: `${(100 * (t.durationMs ?? 0)) / longest}%` }} /></span><span>{duration(t.durationMs)}</span></span></td>
              <td class="num" data-label="Alignment">{duration(t.alignmentMs)}</td><td class="num" data-label="Size">{bytes(t.sizeBytes)}</td><td class="num" data-label="Increment">{bytes(t.incrementBytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}
