// SQL as it is shown, not edited.
import { useEffect, useRef } from 'preact/hooks'
import { highlight } from './sql.ts'

export function Sql({ text, first }: { text: string; first?: number }) {
  const lines = highlight(text)
  const body = lines.map((line, i) => (
    <span key={i} id={first ? undefined : `L${i + 1}`}>
      {line.map((p, k) => (p.token ? <span key={k} class={`tok-${p.token}`}>{p.text}</span> : p.text))}{'\n'}
    </span>
  ))
  return <>{body}</>
}

// Script is numbered lines; line scrolls one into view.
export function Script({ text, line }: { text: string; line: number }) {
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (line) ref.current?.querySelector(`#L${line}`)?.scrollIntoView({ block: 'center' })
  }, [line])
  return (
    <div class="script" ref={ref}>
      <div class="lines mono" aria-hidden="true">{text.split('\n').map((_, i) => <span key={i} class={i + 1 === line ? 'warn' : ''}>{i + 1}</span>)}</div>
      <pre tabIndex={0} role="region" aria-label="SQL script"><Sql text={text} /></pre>
    </div>
  )
}
