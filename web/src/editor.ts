// The SQL editor: CodeMirror, with our colours, the jobmanager's errors under what they are about, and its completions. Loaded only where
// something is edited, since it is most of the dashboard's bytes.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type Completion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from '@codemirror/commands'
import { HighlightStyle, StreamLanguage, bracketMatching, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { forceLinting, lintGutter, lintKeymap, linter, type Diagnostic as Lint } from '@codemirror/lint'
import { EditorState, StateEffect, type Text } from '@codemirror/state'
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder, tooltips } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { columnOf, step, unitOf, type State } from './sql.ts'
import type { Completions, Diagnostic } from './types.ts'

// How long after the last key the script is checked.
const lintDelayMs = 350

export interface EditorOptions {
  parent: HTMLElement
  doc: string
  label: string
  changed: (text: string) => void
  // validate says what is wrong with a script; it fails if nobody can say.
  validate: (script: string) => Promise<Diagnostic[]>
  complete: (script: string, line: number, column: number) => Promise<Completions>
  submit: () => void
}

export interface Editor {
  set: (text: string) => void
  // jump puts the cursor at a line and column, both from 1.
  jump: (line: number, column: number) => void
  // check validates now.
  check: () => void
  destroy: () => void
}

const token = { keyword: 'keyword', string: 'string', number: 'number', comment: 'comment', function: 'typeName', variable: 'variableName.special' } as const

const language = StreamLanguage.define<{ state: State }>({
  name: 'sql',
  startState: () => ({ state: '' }),
  copyState: (s) => ({ ...s }),
  token(stream, s) {
    const t = step(stream.string, stream.pos, s.state)
    stream.pos += t.length
    s.state = t.state
    return t.token ? token[t.token] : null
  },
  languageData: { commentTokens: { line: '--', block: { open: '/*', close: '*/' } }, closeBrackets: { brackets: ['(', "'", '`'] } },
})

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--code-keyword)', fontWeight: '600' },
  { tag: tags.string, color: 'var(--code-string)' },
  { tag: tags.number, color: 'var(--code-number)' },
  { tag: tags.comment, color: 'var(--code-comment)', fontStyle: 'italic' },
  { tag: tags.typeName, color: 'var(--code-function)' },
  { tag: tags.special(tags.variableName), color: 'var(--code-variable)' },
])

const theme = EditorView.theme({
  '&': { fontSize: '13px', backgroundColor: 'var(--surface)', color: 'var(--ink)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-content': { caretColor: 'var(--ink)', padding: '8px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--muted)', border: 'none', paddingLeft: '4px' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--sunken) 60%, transparent)' },
  '.cm-activeLineGutter': { backgroundColor: 'var(--sunken)', color: 'var(--ink)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { background: 'color-mix(in srgb, var(--accent) 28%, transparent) !important' },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft) !important', outline: '1px solid var(--accent)' },
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--bad)', textDecorationSkipInk: 'none', textUnderlineOffset: '3px' },
  '.cm-lintPoint-error::after': { borderBottomColor: 'var(--bad)' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--ink)', border: '1px solid var(--line)', borderRadius: '8px', boxShadow: 'var(--shadow)', overflow: 'hidden' },
  '.cm-diagnostic': { borderLeft: '3px solid var(--bad)', padding: '8px 12px', fontFamily: 'var(--sans)', whiteSpace: 'pre-wrap', maxWidth: '520px' },
  '.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12.5px', maxHeight: '260px' },
  '.cm-tooltip-autocomplete > ul > li': { padding: '3px 10px !important' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--accent) !important', color: 'var(--on-accent) !important' },
  '.cm-completionDetail': { marginLeft: '12px', fontStyle: 'normal', opacity: '0.75' },
  '.cm-placeholder': { color: 'var(--muted)' },
})

function offset(doc: Text, line: number, column: number): number {
  const l = doc.line(Math.min(Math.max(1, line), doc.lines))
  return l.from + Math.min(l.length, unitOf(l.text, column))
}

// range is what to underline: what the jobmanager says, else the word at its place, and never nothing.
export function range(doc: Text, d: Diagnostic): { from: number; to: number } {
  const from = offset(doc, d.line, d.column)
  if (d.endLine && d.endColumn) {
    const to = offset(doc, d.endLine, d.endColumn)
    if (to > from) return { from, to }
  }
  const line = doc.lineAt(from)
  const word = /^(`[^`]*`|[\p{L}\p{N}_$]+|'[^']*'?|\S)/u.exec(line.text.slice(from - line.from))
  if (word) return { from, to: from + word[0].length }
  // At the end of a line or of everything: the character before.
  return from > line.from ? { from: from - 1, to: from } : { from, to: Math.min(doc.length, from + 1) }
}

const types: Record<string, string> = { keyword: 'keyword', table: 'class', column: 'property', function: 'function', option: 'constant', connector: 'enum' }

async function source(context: CompletionContext, ask: EditorOptions['complete']): Promise<CompletionResult | null> {
  const doc = context.state.doc
  const line = doc.lineAt(context.pos)
  const before = context.matchBefore(/[\p{L}\p{N}_.'`-]+/u)
  if (!before && !context.explicit) return null
  try {
    const c = await ask(doc.toString(), line.number, columnOf(line.text, context.pos - line.from))
    if (context.aborted || !c.items?.length) return null
    const options = c.items.map((i): Completion => ({
      label: i.label, type: types[i.kind] ?? 'text', detail: i.detail || i.kind, ...(i.insert && i.insert !== i.label ? { apply: i.insert } : {}),
    }))
    return { from: Math.min(context.pos, offset(doc, c.from.line, c.from.column)), options, validFor: /^[\p{L}\p{N}_.-]*$/u }
  } catch {
    // Completion is a help; without the jobmanager there is none.
    return null
  }
}

// recheck has the script checked again though nothing was typed.
const recheck = StateEffect.define<null>()

export function createEditor(o: EditorOptions): Editor {
  const lints = linter(async (view): Promise<Lint[]> => {
    const script = view.state.doc
    let found: Diagnostic[]
    try {
      found = await o.validate(script.toString())
    } catch {
      return []
    }
    // It was typed on meanwhile: another check is on its way.
    if (view.state.doc !== script) return []
    return found.map((d) => ({ ...range(script, d), severity: 'error', message: d.message }))
  }, { delay: lintDelayMs, needsRefresh: (u) => u.transactions.some((t) => t.effects.some((e) => e.is(recheck))) })
  const view = new EditorView({
    parent: o.parent,
    state: EditorState.create({
      doc: o.doc,
      extensions: [
        lineNumbers(), lintGutter(), history(), drawSelection(), bracketMatching(), closeBrackets(), highlightActiveLine(), highlightActiveLineGutter(),
        indentUnit.of('  '), language, syntaxHighlighting(colours), theme, lints,
        autocompletion({ override: [(c) => source(c, o.complete)], icons: false, activateOnTypingDelay: 120 }),
        tooltips({ parent: document.body }),
        placeholder('CREATE TABLE …;  INSERT INTO … SELECT …;'),
        keymap.of([
          { key: 'Mod-Enter', run: () => (o.submit(), true) }, { key: 'Mod-/', run: toggleComment },
          ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab,
        ]),
        EditorView.contentAttributes.of({ 'aria-label': o.label, spellcheck: 'false', tabindex: '0' }),
        EditorView.updateListener.of((u) => {
          if (u.docChanged) o.changed(u.state.doc.toString())
        }),
        EditorView.lineWrapping,
      ],
    }),
  })
  return {
    set: (text) => {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: 0 }, scrollIntoView: true })
      forceLinting(view)
    },
    jump: (line, column) => {
      const at = offset(view.state.doc, line, column)
      view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: 'center' }) })
      view.focus()
    },
    check: () => {
      view.dispatch({ effects: recheck.of(null) })
      forceLinting(view)
    },
    destroy: () => view.destroy(),
  }
}
