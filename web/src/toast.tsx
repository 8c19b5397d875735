// Messages that outlive what caused them, such as the end of a savepoint whose dialog was closed.
import { createContext, type ComponentChildren } from 'preact'
import { useCallback, useContext, useState } from 'preact/hooks'
import { Icon } from './ui.tsx'

type Show = (tone: 'info' | 'bad', text: string) => void

const Context = createContext<Show>(() => {})
export const useToast = () => useContext(Context)

// Good news goes by itself; bad news waits to be read.
const shownMs = 8000
const toastsMax = 4

export function ToastProvider({ children }: { children: ComponentChildren }) {
  const [toasts, set] = useState<{ id: number; tone: 'info' | 'bad'; text: string }[]>([])
  const close = useCallback((id: number) => set((t) => t.filter((x) => x.id !== id)), [])
  const show: Show = useCallback((tone, text) => {
    const id = Date.now() + Math.random()
    set((t) => [...t.slice(1 - toastsMax), { id, tone, text }])
    if (tone === 'info') setTimeout(() => close(id), shownMs)
  }, [close])
  return (
    <Context.Provider value={show}>
      {children}
      <div class="toasts" role="status" aria-live="polite">
        {toasts.map((t) => (
          <div key={t.id} class={`notice ${t.tone}`}>
            <span class="grow">{t.text}</span>
            <button type="button" class="button quiet icon" aria-label="Close" onClick={() => close(t.id)}><Icon name="close" /></button>
          </div>
        ))}
      </div>
    </Context.Provider>
  )
}
