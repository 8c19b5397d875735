// The cluster at a glance.
import { useState } from 'preact/hooks'
import { ago, bytes, celsius, count, duration, percent, rate, uptime } from '../format.ts'
import { href, useNow, useSession, useStream, useTitle } from '../hooks.ts'
import { ended, type Cluster, type JobSummary, type TaskManager } from '../types.ts'
import { Badge, Card, Command, Empty, Fact, Fault, Level, Scroll, Segmented, Spinner, Usage, rowLink } from '../ui.tsx'

// A Pi throttles at 80 °C; before that someone may want to know.
const warmCelsius = 70
const hotCelsius = 78
// More jobs than these are worth a search.
const jobsAtAGlance = 10
// A taskmanager that was silent for longer is about to be given up.
const silentMs = 15_000

export function ClusterPage() {
  useTitle('')
  const { doc, state } = useStream<Cluster>('events', 'cluster')
  const now = useNow()
  if (!doc) return state?.phase === 'refused' ? <Fault text={state.error} /> : <Spinner label="Asking the jobmanager" />
  const managers = doc.taskmanagers ?? []
  const jobs = doc.jobs ?? []
  const running = jobs.filter((j) => !ended(j.state))
  const used = doc.slotsTotal - doc.slotsAvailable
  return (
    <div class={`stack ${state?.phase === 'waiting' ? 'stale' : ''}`}>
      <h1 class="visually-hidden">Cluster</h1>
      <section class="card" aria-label="Summary">
        <dl class="summary">
          <Fact name="Jobs running">{running.filter((j) => j.state.toUpperCase() === 'RUNNING').length}<small> of {jobs.length}</small></Fact>
          <Fact name="Records in">{rate(sum(running, (j) => j.recordsInPerSecond))}</Fact>
          <Fact name="Slots used">{used}<small> of {doc.slotsTotal}</small></Fact>
          <Fact name="Taskmanagers">{managers.length}</Fact>
          <Fact name="Jobmanager up">{uptime(doc.startedAt === null ? null : now - doc.startedAt)}</Fact>
        </dl>
      </section>
      <Jobs jobs={jobs} now={now} hasManagers={managers.length > 0} />
      <Managers managers={managers} now={now} address={doc.address} />
      <p class="muted small">
        Checkpoints go to {doc.checkpointDir ? <code>{doc.checkpointDir}</code> : <>nowhere: a job that loses a task fails. Start the jobmanager with <code>--checkpoint-dir</code> to change that</>}.
        {' '}Jobmanager {doc.address}{doc.leaderEpoch !== null && <>, leader epoch {doc.leaderEpoch}</>}.
      </p>
    </div>
  )
}

function sum<T>(of: readonly T[], f: (t: T) => number | null): number | null {
  const known = of.map(f).filter((v) => v !== null)
  return known.length ? known.reduce((a, b) => a + b, 0) : null
}

function Jobs({ jobs, now, hasManagers }: { jobs: JobSummary[]; now: number; hasManagers: boolean }) {
  const { readOnly } = useSession()
  const [which, setWhich] = useState<'all' | 'running' | 'ended'>('all')
  const [find, setFind] = useState('')
  const shown = jobs.filter((j) => (which === 'all' || ended(j.state) === (which === 'ended')) && (!find || j.name.toLowerCase().includes(find.toLowerCase()) || j.id.startsWith(find)))
  const aside = (
    <>
      {jobs.length > jobsAtAGlance && <input class="input" style={{ width: '160px' }} type="search" placeholder="find a job" aria-label="Find a job" value={find} onInput={(e) => setFind(e.currentTarget.value)} />}
      {jobs.length > 0 && <Segmented label="Which jobs" value={which} onChange={setWhich} options={[['all', 'All'], ['running', 'Active'], ['ended', 'Ended']]} />}
      {!readOnly && <a class="button primary" href="#/submit">Submit a job</a>}
    </>
  )
  return (
    <Card title="Jobs" aside={aside} flush>
      {jobs.length === 0 ? (
        <Empty title="No job yet">
          <p>{hasManagers ? 'Write one in the editor, or submit a script from a terminal:' : 'Jobs wait until a taskmanager offers slots. Write one in the editor, or submit a script from a terminal:'}</p>
          <Command text={`bramble submit --jobmanager ${location.hostname}:6123 examples/sensors.sql`} />
        </Empty>
      ) : shown.length === 0 ? <Empty title={find ? 'No job is called so' : which === 'running' ? 'No job is active' : 'No job has ended'} /> : (
        <Scroll label="Jobs">
          <table class="blocks">
            <thead>
              <tr><th scope="col">Job</th><th scope="col">State</th><th scope="col" class="num">Uptime</th><th scope="col" class="num">In</th><th scope="col" class="num">Out</th>
                <th scope="col">Busiest</th><th scope="col" class="num">Lag</th><th scope="col" class="num">Late / bad</th><th scope="col" class="num">Restarts</th><th scope="col" class="num">Checkpoint</th></tr>
            </thead>
            <tbody>{shown.map((j) => <JobRow key={j.id} j={j} now={now} />)}</tbody>
          </table>
        </Scroll>
      )}
    </Card>
  )
}

function JobRow({ j, now }: { j: JobSummary; now: number }) {
  const over = ended(j.state)
  const restarts = j.restarts
  return (
    <tr {...rowLink(href('jobs', j.id))}>
      <td class="span2"><a href={href('jobs', j.id)}><b>{j.name}</b></a><span class="sub mono">{j.id.slice(0, 8)}{j.parallelism ? ` · × ${j.parallelism}` : ''}</span></td>
      <td><Badge state={j.state} />{!over && j.tasks && j.tasks.running + (j.tasks.finished ?? 0) < j.tasks.total && <span class="sub" title={j.waitingReason || undefined}>{j.tasks.running} of {j.tasks.total} tasks</span>}</td>
      <td class="num" data-label="Uptime">{uptime(over ? j.durationMs : j.startedAt === null ? null : now - j.startedAt)}</td>
      <td class="num" data-label="In">{over ? '–' : rate(j.recordsInPerSecond)}</td>
      <td class="num" data-label="Out">{over ? '–' : rate(j.recordsOutPerSecond)}</td>
      <td data-label="Busiest">{over ? '–' : <span class="metered"><Usage busy={j.busyRatio} pressed={j.backpressuredRatio} /><span class="small muted nowrap">{percent(j.busyRatio)}</span></span>}</td>
      <td class="num" data-label="Lag">{over ? '–' : duration(j.watermarkLagMs)}</td>
      <td class="num" data-label="Late / bad"><span class={j.late ? 'warn' : 'muted'}>{count(j.late)}</span> / <span class={j.bad ? 'bad' : 'muted'}>{count(j.bad)}</span></td>
      <td class={`num ${restarts ? 'warn' : ''}`} data-label="Restarts">{restarts}</td>
      <td class="num" data-label="Checkpoint">{j.lastCheckpointAt === null ? '–' : ago(j.lastCheckpointAt, now)}{j.checkpointsFailed ? <span class="sub bad">{j.checkpointsFailed} failed</span> : null}</td>
    </tr>
  )
}

function Managers({ managers, now, address }: { managers: TaskManager[]; now: number; address: string }) {
  const host = address || `${location.hostname}:6123`
  return (
    <Card title={<>Taskmanagers {managers.length > 0 && <span class="muted">{managers.length}</span>}</>} flush>
      {managers.length === 0 ? (
        <Empty title="No taskmanager is registered">
          <p>A taskmanager runs the tasks of jobs. Start one on this machine or on any other that reaches the jobmanager; it registers by itself:</p>
          <Command text={`taskmanager --jobmanager ${reachable(host)}`} />
        </Empty>
      ) : (
        <Scroll label="Taskmanagers">
          <table class="blocks">
            <thead><tr><th scope="col">Taskmanager</th><th scope="col">Machine</th><th scope="col">Slots</th><th scope="col">Memory</th><th scope="col" class="num">RSS</th><th scope="col" class="num">Temperature</th><th scope="col" class="num">Goroutines</th><th scope="col" class="num">Heartbeat</th></tr></thead>
            <tbody>{managers.map((m) => <ManagerRow key={m.id} m={m} now={now} />)}</tbody>
          </table>
        </Scroll>
      )}
    </Card>
  )
}

// reachable swaps an address that only the jobmanager itself understands for the name this page was reached by.
function reachable(address: string): string {
  const port = /:(\d+)$/.exec(address)?.[1] ?? '6123'
  const host = address.replace(/:\d+$/, '')
  return ['', '0.0.0.0', '[::]', '::', 'localhost', '127.0.0.1'].includes(host) ? `${location.hostname}:${port}` : address
}

function ManagerRow({ m, now }: { m: TaskManager; now: number }) {
  const used = m.slots - m.slotsFree
  const silent = m.lastHeartbeatAt !== null && now - m.lastHeartbeatAt > silentMs
  const t = m.temperatureCelsius
  return (
    <tr {...rowLink(href('taskmanagers', m.id))}>
      <td class="span2"><a href={href('taskmanagers', m.id)}><b>{m.hostName || m.dataAddress || m.address || m.id}</b></a><span class="sub mono" title={m.id}>{m.dataAddress || m.id.slice(0, 20)}</span></td>
      <td class="nowrap" data-label="Machine">{[m.os, m.arch].filter(Boolean).join('/') || '–'}<span class="sub">{m.cores ? `${m.cores} cores` : ''}</span></td>
      <td data-label="Slots">
        {m.slots <= 16 ? <span class="slots" role="img" aria-label={`${used} of ${m.slots} slots used`}>{Array.from({ length: m.slots }, (_, i) => <i key={i} class={i < used ? 'used' : ''} />)}</span> : null}
        <span class="sub nowrap">{used} of {m.slots} used</span>
      </td>
      <td class="span2" data-label="Memory"><span class="metered"><Level value={m.memoryUsedBytes} of={m.memoryBudgetBytes} label={`memory ${bytes(m.memoryUsedBytes)} of ${bytes(m.memoryBudgetBytes)}`} /><span class="small muted nowrap">{bytes(m.memoryUsedBytes)} of {bytes(m.memoryBudgetBytes)}</span></span></td>
      <td class="num" data-label="RSS">{bytes(m.rssBytes)}</td>
      <td class={`num ${t === null ? '' : t >= hotCelsius ? 'bad' : t >= warmCelsius ? 'warn' : ''}`} data-label="Temperature">{celsius(t)}</td>
      <td class="num" data-label="Goroutines">{count(m.goroutines)}</td>
      <td class={`num ${silent ? 'bad' : ''}`} data-label="Heartbeat">{ago(m.lastHeartbeatAt, now)}</td>
    </tr>
  )
}
