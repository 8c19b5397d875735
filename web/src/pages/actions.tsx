// What can be done to a job. Each asks once, then shows how far it is; closing the dialog does not stop it.
import type { JSX, TargetedEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { follow, jobPath, message, pause, send } from '../api.ts'
import { duration } from '../format.ts'
import { get } from '../api.ts'
import { go, href, useNow, useSession } from '../hooks.ts'
import { useToast } from '../toast.tsx'
import { ended, type Job, type JobSummary, type Session } from '../types.ts'
import { Command, Dialog, Fault, Field, Notice, Spinner } from '../ui.tsx'

type Kind = 'savepoint' | 'stop' | 'cancel' | 'rescale' | 'restart'

const labels: Record<Kind, string> = { savepoint: 'Savepoint', stop: 'Stop', rescale: 'Rescale', restart: 'Restart', cancel: 'Cancel' }

const readOnlyWhy = (s: Session) => `Read-only: ${s.readOnlyReason || 'this jobmanager shows everything and changes nothing'}.`

export function Actions({ job }: { job: Job }) {
  const session = useSession()
  const [open, setOpen] = useState<Kind>()
  const group = useRef<HTMLDivElement>(null)
  if (session.readOnly) return <p class="muted small" style={{ maxWidth: '56ch' }}>{readOnlyWhy(session)}</p>
  const kinds: Kind[] = ended(job.state) ? ['restart'] : ['savepoint', 'rescale', 'restart', 'stop', 'cancel']
  // The event comes a little after the dialog has closed: by then another one may be open.
  const close = (kind: Kind) => {
    setOpen((now) => (now === kind ? undefined : now))
    // The button may have gone with the job.
    const buttons = [...(group.current?.querySelectorAll('button') ?? [])]
    ;(buttons.find((b) => b.textContent === labels[kind]) ?? buttons[0])?.focus()
  }
  // The dialog is not the button's: it shows how a job ended when the button to end it has gone.
  return (
    <>
      <div class="row actions" role="group" aria-label="Actions" ref={group}>{kinds.map((k) => <Act key={k} job={job} action={k} session={session} onClick={() => setOpen(k)} />)}</div>
      {open && <ActionDialog key={open} job={job} action={open} onClose={() => close(open)} />}
    </>
  )
}

// ActionButton is one action by itself.
export function ActionButton({ job, action }: { job: Job; action: Kind }) {
  const session = useSession()
  const [open, setOpen] = useState(false)
  return (
    <>
      <Act job={job} action={action} session={session} onClick={() => setOpen(true)} />
      {open && <ActionDialog job={job} action={action} onClose={() => setOpen(false)} />}
    </>
  )
}

function Act({ job, action, session, onClick }: { job: Job; action: Kind; session: Session; onClick: () => void }) {
  const { readOnly } = session
  const able = !readOnly && (action === 'restart' ? Boolean(job.script) : !ended(job.state))
  const why = readOnly ? readOnlyWhy(session) : action === 'restart' && !job.script ? 'The script of this job is not known.' : able ? undefined : 'The job has ended.'
  return <button type="button" class={`button ${action === 'cancel' ? 'danger' : ''}`} disabled={!able} title={why} onClick={onClick}>{labels[action]}</button>
}

// savepoints are those that a job can start from, the newest first. Checkpoints are the job's own.
const savepoints = (job: Job) => (job.checkpoints?.history ?? []).filter((h) => h.kind === 'savepoint' && h.state === 'completed' && h.path)

interface Outcome {
  text: string
  path?: string | null
  jobId?: string
}

// Values are what the form of a dialog holds.
interface Values {
  path: string
  drain: boolean
  parallelism: string
  savepoint: string
  nonRestored: boolean
}

const titles: Record<Kind, (name: string) => string> = {
  savepoint: (n) => `Take a savepoint of ${n}?`,
  stop: (n) => `Stop ${n} with a savepoint?`,
  cancel: (n) => `Cancel ${n}?`,
  rescale: (n) => `Rescale ${n}?`,
  restart: (n) => `Restart ${n}?`,
}

const confirms: Record<Kind, string> = { savepoint: 'Take a savepoint', stop: 'Stop the job', cancel: 'Cancel the job', rescale: 'Rescale', restart: 'Restart' }

function ActionDialog({ job, action, onClose }: { job: Job; action: Kind; onClose: () => void }) {
  const [values, setValues] = useState<Values>({ path: '', drain: false, parallelism: String(job.parallelism ?? 1), savepoint: ended(job.state) ? (savepoints(job)[0]?.path ?? '') : '', nonRestored: false })
  const [doing, setDoing] = useState('')
  const [since, setSince] = useState(0)
  const [error, setError] = useState('')
  const [done, setDone] = useState<Outcome>()
  const toast = useToast()
  const closed = useRef(false)
  useEffect(() => () => void (closed.current = true), [])
  const submit = (e: TargetedEvent<HTMLFormElement>) => {
    e.preventDefault()
    setError('')
    setSince(Date.now())
    const step = (text: string) => setDoing(text)
    perform(job, action, values, step).then((o) => {
      if (closed.current) toast('info', `${job.name}: ${o.text}${o.path ? ' ' + o.path : ''}`)
      setDoing('')
      setDone(o)
      if (o.jobId && !closed.current) go(href('jobs', o.jobId))
    }, (err: unknown) => {
      if (closed.current) toast('bad', `${job.name}: ${message(err)}`)
      setDoing('')
      setError(message(err))
    })
  }
  return (
    <Dialog title={done ? done.text : titles[action](job.name)} onClose={onClose}>
      {done ? (
        <>
          {done.path && <div class="tight"><span class="muted small">It is at</span><Command text={done.path} /></div>}
          <div class="buttons"><button type="button" class="button primary" autoFocus onClick={onClose}>Close</button></div>
        </>
      ) : (
        <form class="stack" onSubmit={submit}>
          <Form job={job} action={action} values={values} set={(part) => setValues({ ...values, ...part })} busy={doing !== ''} />
          {error && <Fault text={error} />}
          {doing ? <Progress text={doing} since={since} /> : null}
          <div class="buttons">
            <button type="button" class="button" onClick={onClose}>{doing ? 'Close, go on in the background' : 'Leave it'}</button>
            <button type="submit" class={`button ${action === 'cancel' ? 'danger solid' : 'primary'}`} disabled={doing !== ''}>{confirms[action]}</button>
          </div>
        </form>
      )}
    </Dialog>
  )
}

function Progress({ text, since }: { text: string; since: number }) {
  const now = useNow(500)
  return <div class="spread"><Spinner label={text} /><span class="muted">{duration(Math.max(0, now - since))}</span></div>
}

function Form({ job, action, values, set, busy }: { job: Job; action: Kind; values: Values; set: (v: Partial<Values>) => void; busy: boolean }) {
  const path = (
    <Field label="Where to, if not into the checkpoint directory"><input class="input mono" value={values.path} placeholder="file:///… or s3://bucket/prefix" disabled={busy} onInput={(e) => set({ path: e.currentTarget.value })} /></Field>
  )
  const parallelism = (
    <Field label="Parallelism"><input class="input" type="number" min={1} max={128} required value={values.parallelism} disabled={busy} onInput={(e) => set({ parallelism: e.currentTarget.value })} /></Field>
  )
  switch (action) {
    case 'savepoint':
      return <><p>The job goes on. The savepoint is yours: it stays until you delete it.</p>{path}</>
    case 'stop':
      return (
        <>
          <p>A savepoint is taken and the job ends right after it, so that nothing is lost and nothing twice when a job is started from it.</p>
          {path}
          <label class="check"><input type="checkbox" checked={values.drain} disabled={busy} onChange={(e) => set({ drain: e.currentTarget.checked })} /><span>Drain: fire all open windows first. Only for jobs that will not be continued.</span></label>
        </>
      )
    case 'cancel':
      return <p>It ends now, without a savepoint. What it had read since the last checkpoint may be read again if it is restarted from there.</p>
    case 'rescale':
      return <><p>A savepoint is taken, and the job goes on from it with its state spread over so many tasks a vertex. It pauses for about a second.</p>{parallelism}</>
    case 'restart':
      return <RestartForm job={job} values={values} set={set} busy={busy} parallelism={parallelism} />
  }
}

function RestartForm({ job, values, set, busy, parallelism }: { job: Job; values: Values; set: (v: Partial<Values>) => void; busy: boolean; parallelism: JSX.Element }) {
  const over = ended(job.state)
  const choices = savepoints(job)
  const known = choices.some((h) => h.path === values.savepoint)
  return (
    <>
      <p>{over ? 'The script is submitted again, as a new job.' : values.savepoint ? 'This job is cancelled, then its script is submitted again, as a new job with the state of the savepoint. What came since is read again, if its sources still have it.' : 'This job is stopped with a savepoint, then its script is submitted again, as a new job that goes on from there.'}</p>
      {job.script?.includes('******') && <Notice tone="warn">The script shown here has its secrets blanked out. Start it from the file instead: <code>bramble submit --from-savepoint</code></Notice>}
      <Field label="Begin with">
        <select class="input" value={values.savepoint === '' || known ? values.savepoint : 'other'} disabled={busy} onChange={(e) => set({ savepoint: e.currentTarget.value === 'other' ? 'file:///' : e.currentTarget.value })}>
          <option value="">{over ? 'no state' : 'the state it has now'}</option>
          {choices.map((h) => <option key={h.id} value={h.path!}>savepoint {h.id}, {duration(Date.now() - (h.triggeredAt ?? Date.now()))} old</option>)}
          <option value="other">another savepoint</option>
        </select>
      </Field>
      {values.savepoint !== '' && <Field label="Path of the savepoint"><input class="input mono" required value={values.savepoint} disabled={busy} onInput={(e) => set({ savepoint: e.currentTarget.value })} /></Field>}
      {parallelism}
      <label class="check"><input type="checkbox" checked={values.nonRestored} disabled={busy} onChange={(e) => set({ nonRestored: e.currentTarget.checked })} /><span>Leave out state that no operator takes.</span></label>
    </>
  )
}

// How long a cancelled job may take until it has ended.
const endMs = 60_000

async function perform(job: Job, action: Kind, v: Values, step: (text: string) => void): Promise<Outcome> {
  const trigger = async (path: string, body: unknown) => {
    const { triggerId } = await send<{ triggerId: string }>(`${jobPath(job.id)}/${path}`, body)
    return follow(job.id, triggerId)
  }
  const where = v.path.trim() || null
  switch (action) {
    case 'savepoint': {
      step('Taking the savepoint')
      const t = await trigger('savepoints', { path: where })
      return { text: 'The savepoint is complete', path: t.path }
    }
    case 'stop': {
      step('Taking the savepoint and stopping')
      const t = await trigger('stop', { savepointPath: where, drain: v.drain })
      return { text: 'The job has stopped', path: t.path }
    }
    case 'cancel':
      step('Cancelling')
      await trigger('cancel', {})
      return { text: 'The job is cancelled' }
    case 'rescale':
      step('Taking a savepoint and moving state')
      await trigger('rescale', { parallelism: Number(v.parallelism) })
      return { text: `The job runs with parallelism ${v.parallelism}` }
    case 'restart': {
      let from = v.savepoint.trim()
      if (!ended(job.state) && !from) {
        step('Taking a savepoint and stopping')
        from = (await trigger('stop', { savepointPath: null, drain: false })).path ?? ''
        await end(job.id)
      } else if (!ended(job.state)) {
        step('Cancelling the job')
        await trigger('cancel', {})
        await end(job.id)
      }
      step('Submitting it again')
      const { jobId } = await send<{ jobId: string }>('jobs', {
        script: job.script, name: job.name, parallelism: Number(v.parallelism), fromSavepoint: from, allowNonRestoredState: v.nonRestored, settings: {},
      })
      return { text: 'The job was started', jobId }
    }
  }
}

async function end(id: string): Promise<void> {
  for (const until = Date.now() + endMs; Date.now() < until; await pause(300)) {
    const j = await get<JobSummary>(jobPath(id))
    if (ended(j.state)) return
  }
  throw new Error('the job was cancelled but has not ended yet; it was not started again')
}
