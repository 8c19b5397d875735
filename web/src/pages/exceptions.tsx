// What went wrong, the cause before the consequences.
import { dateTime } from '../format.ts'
import { href } from '../hooks.ts'
import type { Job } from '../types.ts'
import { Card, Empty, Scroll } from '../ui.tsx'

export function ExceptionsTab({ job }: { job: Job }) {
  const exceptions = job.exceptions ?? []
  const restarts = job.restartHistory ?? []
  return (
    <div class="stack">
      <Card title="Exceptions" flush>
        {exceptions.length === 0 ? <Empty title="None"><p>No task of this job has failed.</p></Empty> : exceptions.map((e, i) => {
          const root = e.root || e.message.split('\n')[0]!
          // Where it happened is nearer than where its operator comes from.
          const line = Number(/^(\d+):\d+: /.exec(root)?.[1] ?? e.sqlLine)
          return (
            <div class="exception" key={i}>
              <span class="root">{root}</span>
              <span class="muted small">{dateTime(e.at)}{e.task && <> · {e.task}</>}{e.operator && <> · {e.operator}</>}{line ? <> · <a href={`${href('jobs', job.id, 'sql')}?line=${line}`}>line {line}</a></> : null}{e.taskmanager && <> · <a href={href('taskmanagers', e.taskmanager)}>{e.taskmanager}</a></>}</span>
              {e.message && e.message !== root && <details><summary>The whole message</summary><pre class="code wrap" tabIndex={0}>{e.message}</pre></details>}
            </div>
          )
        })}
      </Card>
      <Card title="Restarts" flush>
        {restarts.length === 0 ? <Empty title="None"><p>The job runs since it was started.</p></Empty> : (
          <Scroll label="Restarts">
            <table>
              <thead><tr><th scope="col">At</th><th scope="col">Cause</th></tr></thead>
              <tbody>{restarts.map((r, i) => <tr key={i}><td class="nowrap">{dateTime(r.at)}</td><td style={{ overflowWrap: 'anywhere' }}>{r.cause}</td></tr>)}</tbody>
            </table>
          </Scroll>
        )}
      </Card>
    </div>
  )
}
