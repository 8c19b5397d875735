// One job: its head with the actions, and tabs.
import { dateTime, duration, percent, rate, uptime, count } from '../format.ts'
import { href, useNow, useStream, useTitle } from '../hooks.ts'
import { ended, type Job } from '../types.ts'
import { Badge, Empty, Fact, Notice, Spinner, Tabs } from '../ui.tsx'
import { Actions } from './actions.tsx'
import { CheckpointsTab } from './checkpoints.tsx'
import { DataTab } from './data.tsx'
import { ExceptionsTab } from './exceptions.tsx'
import { OverviewTab } from './overview.tsx'
import { Script } from '../code.tsx'
import { Card } from '../ui.tsx'

export function JobPage({ id, tab, query }: { id: string; tab: string; query: URLSearchParams }) {
  const { doc: job, state } = useStream<Job>(`jobs/${encodeURIComponent(id)}/events`, 'job')
  useTitle(job?.name ?? 'Job')
  if (!job) {
    if (state?.phase === 'refused') {
      return (
        <Empty page title={state.status === 404 ? 'There is no such job' : 'The job cannot be shown'}>
          <p>{state.error}</p>
          <a class="button" href="#/">To the cluster</a>
        </Empty>
      )
    }
    return <Spinner label="Asking for the job" />
  }
  const exceptions = job.exceptions ?? []
  const failed = job.checkpoints?.counts.failed ?? 0
  const rejected = (job.late ?? 0) + (job.bad ?? 0)
  return (
    <div class="stack">
      <Head job={job} />
      <Troubles job={job} />
      <Tabs label="Parts of the job" current={tab} tabs={[
        { id: 'overview', label: 'Overview', href: href('jobs', id) },
        { id: 'data', label: 'Data', href: href('jobs', id, 'data'), n: rejected && count(rejected), bad: (job.bad ?? 0) > 0 },
        { id: 'checkpoints', label: 'Checkpoints', href: href('jobs', id, 'checkpoints'), n: failed, bad: true },
        { id: 'exceptions', label: 'Exceptions', href: href('jobs', id, 'exceptions'), n: exceptions.length, bad: true },
        { id: 'sql', label: 'SQL', href: href('jobs', id, 'sql') },
      ]} />
      <div class={state?.phase === 'waiting' ? 'stale' : ''}>
        {tab === 'data' ? <DataTab job={job} query={query} />
          : tab === 'checkpoints' ? <CheckpointsTab job={job} />
          : tab === 'exceptions' ? <ExceptionsTab job={job} />
          : tab === 'sql' ? <SqlTab job={job} line={Number(query.get('line')) || 0} />
          : <OverviewTab job={job} query={query} />}
      </div>
    </div>
  )
}

// Troubles are what keeps the job from doing its work, or did.
function Troubles({ job }: { job: Job }) {
  const away = new Map((job.health ?? []).filter((h) => h.error).map((h) => [`${h.component}: ${h.error}`, h]))
  const failed = job.state.toUpperCase() === 'FAILED'
  const cause = job.cause || job.waitingReason
  return (
    <>
      {cause && <Notice tone={failed ? 'bad' : 'warn'}><b>{failed ? 'It failed' : job.waitingReason ? 'It waits' : 'Trouble'}</b><pre>{cause}</pre></Notice>}
      {[...away].map(([text, h]) => <Notice key={text} tone="warn"><b>{h.component}</b><pre>{h.error}</pre>{h.since ? <span class="muted small">since {dateTime(h.since)}</span> : null}</Notice>)}
      {(job.warnings ?? []).map((w) => <Notice key={w} tone="info"><pre>{w}</pre></Notice>)}
    </>
  )
}

function Head({ job }: { job: Job }) {
  const now = useNow()
  const over = ended(job.state)
  const busiest = (job.vertices ?? []).reduce<number | null>((m, v) => (v.busyRatio === null ? m : Math.max(m ?? 0, v.busyRatio)), null)
  const up = over ? job.durationMs : job.startedAt === null ? null : now - job.startedAt
  return (
    <>
      <div class="spread">
        <div>
          <div class="row"><h1>{job.name}</h1><Badge state={job.state} /></div>
          <span class="muted small mono">{job.id}</span>
        </div>
        <Actions job={job} />
      </div>
      <section class="card" aria-label="Job summary">
        <dl class="summary">
          <Fact name={over ? 'Duration' : 'Uptime'}>{uptime(up)}</Fact>
          <Fact name="Records in">{rate(over ? null : job.recordsInPerSecond)}</Fact>
          <Fact name="Records out">{rate(over ? null : job.recordsOutPerSecond)}</Fact>
          <Fact name="Busiest">{percent(over ? null : job.busyRatio ?? busiest)}</Fact>
          <Fact name="Watermark lag">{duration(over ? null : job.watermarkLagMs)}</Fact>
          <Fact name="Late / bad">{count(job.late)}<small> / </small><span class={job.bad ? 'bad' : ''}>{count(job.bad)}</span></Fact>
          <Fact name="Tasks">{job.tasks ? <>{job.tasks.running}<small> of {job.tasks.total}{job.tasks.finished && !over ? `, ${job.tasks.finished} done` : ''}</small></> : '–'}</Fact>
          <Fact name="Restarts"><span class={job.restarts ? 'warn' : ''}>{job.restarts}</span></Fact>
        </dl>
      </section>
    </>
  )
}

function SqlTab({ job, line }: { job: Job; line: number }) {
  const again = <a class="button" href={`#/submit?from=${job.id}`}>Open in the editor</a>
  return (
    <Card title="Script" aside={job.script ? again : undefined}>
      {job.script ? <Script text={job.script} line={line} /> : <p class="muted">The jobmanager does not know the script of this job: it was submitted as a plan.</p>}
    </Card>
  )
}
