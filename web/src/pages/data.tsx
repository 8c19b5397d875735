// What flows, and what was refused.
import { dateTime, whole } from '../format.ts'
import { title } from '../graph.tsx'
import { href, replace, useGet } from '../hooks.ts'
import type { Job, Rejected } from '../types.ts'
import { ended } from '../types.ts'
import { Card, Empty, Fault, Scroll } from '../ui.tsx'
import { Tail } from './tail.tsx'

const rejectedMs = 5000

export function DataTab({ job, query }: { job: Job; query: URLSearchParams }) {
  const vertices = job.vertices ?? []
  const v = vertices.find((x) => x.id === query.get('vertex')) ?? vertices[0]
  const { doc, error, status } = useGet<Rejected>(`jobs/${encodeURIComponent(job.id)}/rejected`, ended(job.state) ? 0 : rejectedMs)
  const names = new Map(vertices.flatMap((x) => (x.operators ?? []).map((o) => [o.id, o.name] as const)))
  const named = (id: string) => names.get(id) ?? id
  return (
    <div class="stack">
      <Card title="Live rows" aside={vertices.length > 0 && (
        <select class="input" aria-label="Vertex" value={v?.id} onChange={(e) => replace(`${href('jobs', job.id, 'data')}?vertex=${encodeURIComponent(e.currentTarget.value)}`)}>
          {vertices.map((x) => <option key={x.id} value={x.id}>{title(x)}</option>)}
        </select>
      )}>
        {v ? <Tail key={v.id} job={job} v={v} /> : <p class="muted">The graph of this job is not known.</p>}
      </Card>
      {error && status !== 404 && <Fault text={error} />}
      <Card title={<>Bad records <span class="muted">{whole(doc?.badTotal ?? job.bad)}</span></>} flush>
        {doc?.bad?.length ? (
          <Scroll label="Bad records">
            <table>
              <thead><tr><th scope="col">At</th><th scope="col">Operator</th><th scope="col">Reason</th><th scope="col">Payload</th></tr></thead>
              <tbody>{doc.bad.map((b, i) => <tr key={i}><td class="nowrap">{dateTime(b.at)}</td><td>{named(b.operator)}</td><td>{b.reason}</td><td class="mono" style={{ overflowWrap: 'anywhere' }}>{b.payload ?? '–'}</td></tr>)}</tbody>
            </table>
          </Scroll>
        ) : <Empty title={job.bad ? 'They were counted; none is kept' : 'None'}><p>Records that cannot be understood are counted, and the newest kept here with the reason. <code>'bad-records'</code> of a source says what happens to them.</p></Empty>}
      </Card>
      <Card title={<>Late rows <span class="muted">{whole(doc?.lateTotal ?? job.late)}</span></>} flush>
        {doc?.late?.length ? (
          <Scroll label="Late rows">
            <table>
              <thead><tr><th scope="col">At</th><th scope="col">Operator</th><th scope="col">Reason</th><th scope="col">Row</th></tr></thead>
              <tbody>{doc.late.map((l, i) => <tr key={i}><td class="nowrap">{dateTime(l.at)}</td><td>{named(l.operator)}</td><td>{l.reason}</td><td class="mono" style={{ overflowWrap: 'anywhere' }}>{l.row ? JSON.stringify(l.row) : '–'}</td></tr>)}</tbody>
            </table>
          </Scroll>
        ) : <Empty title={job.late ? 'They were counted; none is kept' : 'None'}><p>Rows behind the watermark, whose window has fired. More delay in <code>WATERMARK FOR</code> waits longer for them; <code>'late-records'</code> sends them to a table.</p></Empty>}
      </Card>
    </div>
  )
}
