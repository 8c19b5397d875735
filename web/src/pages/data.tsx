// What flows, and what was refused.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { getExact } from '../api.ts'
import { dateTime, whole } from '../format.ts'
import { title } from '../graph.tsx'
import { href, replace, useGet } from '../hooks.ts'
import type { Job, Rejected } from '../types.ts'
import { ended } from '../types.ts'
import { Card, Empty, Fault, More, Scroll } from '../ui.tsx'
import { Tail } from './tail.tsx'

const rejectedMs = 5000
// So many of each are shown at first.
const shownFirst = 12

export function DataTab({ job, query }: { job: Job; query: URLSearchParams }) {
  const vertices = job.vertices ?? []
  const v = vertices.find((x) => x.id === query.get('vertex')) ?? vertices[0]
  const { doc, error } = useGet<Rejected>(`jobs/${encodeURIComponent(job.id)}/rejected`, ended(job.state) ? 0 : rejectedMs, getExact)
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
      {error && <Fault text={error} />}
      <Refused title="Bad records" total={doc?.badTotal ?? job.bad} what="Payload" rows={doc?.bad?.map((b) => ({ at: b.at, operator: named(b.operator), reason: b.reason, text: b.payload }))}>
        Records that cannot be understood are counted, and the newest kept here with the reason. <code>'bad-records'</code> of a source says what happens to them.
      </Refused>
      <Refused title="Late rows" total={doc?.lateTotal ?? job.late} what="Row" rows={doc?.late?.map((l) => ({ at: l.at, operator: named(l.operator), reason: l.reason, text: l.row && JSON.stringify(l.row) }))}>
        Rows behind the watermark, whose window has fired. More delay in <code>WATERMARK FOR</code> waits longer for them; <code>'late-records'</code> sends them to a table.
      </Refused>
    </div>
  )
}

interface RefusedProps {
  title: string
  total: number | null
  what: string
  rows: { at: number | null; operator: string; reason: string; text: string | null }[] | undefined
  children: ComponentChildren
}

// Refused lists records that did not come through, the newest first.
function Refused({ title, total, what, rows, children }: RefusedProps) {
  const [all, setAll] = useState(false)
  return (
    <Card title={<>{title} <span class="muted">{whole(total)}</span></>} flush>
      {rows?.length ? (
        <Scroll label={title}>
          <table class="blocks">
            <thead><tr><th scope="col">At</th><th scope="col">Operator</th><th scope="col">Reason</th><th scope="col">{what}</th></tr></thead>
            <tbody>
              {rows.slice(0, all ? undefined : shownFirst).map((r, i) => (
                <tr key={i}><td class="nowrap" data-label="At">{dateTime(r.at)}</td><td class="span2" data-label="Operator">{r.operator}</td><td class="all" data-label="Reason">{r.reason}</td><td class="mono all broken" data-label={what}>{r.text ?? '–'}</td></tr>
              ))}
            </tbody>
          </table>
          <More all={all} n={rows.length} first={shownFirst} set={setAll} />
        </Scroll>
      ) : <Empty title={total ? 'They were counted; none is kept' : 'None'}><p>{children}</p></Empty>}
    </Card>
  )
}
