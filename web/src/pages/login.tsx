// The way in where a token is asked for.
import type { TargetedEvent } from 'preact'
import { useState } from 'preact/hooks'
import { Failure, message, send } from '../api.ts'
import { useTitle } from '../hooks.ts'
import { Fault } from '../ui.tsx'

export function LoginPage({ version, onDone }: { version: string; onDone: () => void }) {
  useTitle('Sign in')
  const [token, setToken] = useState('')
  const [error, setError] = useState('')
  const [busy, setBusy] = useState(false)
  const submit = (e: TargetedEvent<HTMLFormElement>) => {
    e.preventDefault()
    setBusy(true)
    send('login', { token: token.trim() }).then(onDone, (err: unknown) => {
      setError(err instanceof Failure && err.status === 401 ? 'That is not the token of this jobmanager.' : message(err))
      setBusy(false)
    })
  }
  return (
    <main id="main">
      <form class="card login" onSubmit={submit}>
        <header><img src="icon.svg" alt="" width="28" height="28" /><h1>Bramble</h1></header>
        <div class="body stack">
          <p class="muted">This jobmanager asks for its token, which was set where it was started.</p>
          <label class="field"><span>Token</span><input class="input" type="password" autocomplete="current-password" required value={token} onInput={(e) => setToken(e.currentTarget.value)} /></label>
          {error && <Fault text={error} />}
          <button class="button primary" type="submit" disabled={busy || !token.trim()}>Sign in</button>
          <span class="muted small">Bramble {version}</span>
        </div>
      </form>
    </main>
  )
}
