// A live sample of the rows that leave an operator.
import { useEffect, useState } from 'preact/hooks'
import { Stream, type StreamState } from '../api.ts'
import { whole } from '../format.ts'
import type { Column, Job, Rows, Vertex } from '../types.ts'
import { ended } from '../types.ts'
import { DataTable, Fault, Icon } from '../ui.tsx'

// The newest rows that are kept: more is for files, not for eyes.
const rowsKept = 100

interface Got {
  columns: Column[]
  rows: { kind: string; values: unknown[] }[]
  seen: number | null
  sampled: boolean
}

const nothing: Got = { columns: [], rows: [], seen: null, sampled: false }

// merge puts the newest rows first.
export function merge(old: Got, r: Rows): Got {
  const fresh = (r.rows ?? []).map((values, i) => ({ kind: r.kinds?.[i] ?? '+I', values })).reverse()
  return {
    columns: r.columns?.length ? r.columns : old.columns,
    rows: [...fresh, ...old.rows].slice(0, rowsKept),
    seen: r.seen ?? old.seen,
    sampled: Boolean(r.sampled),
  }
}

export function Tail({ job, v }: { job: Job; v: Vertex }) {
  const operators = v.operators ?? []
  const [operator, setOperator] = useState('')
  const [on, setOn] = useState(false)
  const [got, setGot] = useState(nothing)
  const [state, setState] = useState<StreamState>()
  const [end, setEnd] = useState('')
  const last = operators[operators.length - 1]
  const chosen = operators.find((o) => o.id === operator) ?? operators.findLast((o) => !/sink/i.test(o.kind)) ?? last
  const path = on && chosen ? `jobs/${encodeURIComponent(job.id)}/vertices/${encodeURIComponent(v.id)}/tail?operator=${encodeURIComponent(chosen.id)}` : null
  useEffect(() => {
    if (!path) return
    setGot(nothing)
    setEnd('')
    const stream = new Stream(path, (name, doc) => {
      if (name === 'rows') setGot((old) => merge(old, doc as Rows))
      if (name === 'end') {
        setEnd((doc as { reason: string }).reason || 'the stream ended')
        setOn(false)
      }
    }, setState)
    return () => {
      stream.close()
      setState(undefined)
    }
  }, [path])
  const over = ended(job.state)
  return (
    <div class="tight">
      <div class="row">
        <h3>Rows leaving</h3>
        <select class="input" aria-label="Operator whose rows to show" value={chosen?.id} onChange={(e) => setOperator(e.currentTarget.value)}>
          {operators.map((o) => <option key={o.id} value={o.id}>{o.name}{o.sqlLine ? `, line ${o.sqlLine}` : ''}</option>)}
        </select>
        <button type="button" class="button" disabled={over} onClick={() => setOn(!on)}><Icon name={on ? 'stop' : 'play'} />{on ? 'Stop' : 'Show live rows'}</button>
        <span class="muted small" role="status">
          {state?.phase === 'refused' ? '' : on && state?.phase === 'waiting' ? `${state.error}; trying again` : on && !got.rows.length ? 'waiting for rows' : got.rows.length ? `${got.sampled ? 'a sample; ' : ''}${got.seen === null ? '' : `${whole(got.seen)} seen`}` : over ? 'the job has ended' : ''}
        </span>
      </div>
      {state?.phase === 'refused' && <Fault text={state.error} />}
      {end && <p class="muted small">{end}</p>}
      {got.rows.length > 0 && <div style={{ maxHeight: '420px', overflow: 'auto' }}><DataTable columns={got.columns} rows={got.rows} label="Rows leaving the operator, newest first" /></div>}
    </div>
  )
}
