import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bars, selfTimes, short } from '../src/flame.tsx'
import { parseRoute } from '../src/hooks.ts'
import { merge } from '../src/pages/tail.tsx'
import { skew } from '../src/pages/overview.tsx'
import { parseVariables } from '../src/pages/submit.tsx'
import { segments } from '../src/chart.tsx'
import { columnOf, highlight, unitOf } from '../src/sql.ts'
import { Parser, parseExact } from '../src/sse.ts'

test('server-sent events in any pieces', () => {
  const text = ': hello\n\nevent: job\ndata: {"a":1}\n\ndata: two\ndata: lines\r\n\r\nevent: end\ndata:x\n\nevent: half'
  const want = [{ name: 'job', data: '{"a":1}' }, { name: 'message', data: 'two\nlines' }, { name: 'end', data: 'x' }]
  assert.deepEqual(new Parser().push(text), want)
  for (let cut = 1; cut < text.length; cut++) {
    // A carriage return is not cut from its line feed: the jobmanager writes none.
    if (text[cut - 1] === '\r') continue
    const p = new Parser()
    assert.deepEqual([...p.push(text.slice(0, cut)), ...p.push(text.slice(cut))], want, `cut at ${cut}`)
  }
})

test('SQL is coloured line by line, whatever is in it', () => {
  const kinds = (s: string) => highlight(s).map((l) => l.filter((p) => p.text.trim()).map((p) => `${p.token || '.'}:${p.text.trim()}`))
  assert.deepEqual(kinds("SELECT COUNT(*) FROM t -- end"), [['keyword:SELECT', 'function:COUNT', '.:(*)', 'keyword:FROM', '.:t', 'comment:-- end']])
  assert.deepEqual(kinds("'it''s' /* a\nb */ 1.5 ${X:-2}"), [["string:'it''s'", 'comment:/* a'], ['comment:b */', 'number:1.5', 'variable:${X:-2}']])
  assert.deepEqual(kinds('`select` "x" é😀'), [['.:`select` "x" é😀']])
  const hard = "a 'b\nc' `d\n\n/* ' */ 😀 ${ \\ \t\r ''"
  assert.equal(highlight(hard).map((l) => l.map((p) => p.text).join('')).join('\n'), hard)
})

test('columns are characters, strings are UTF-16', () => {
  assert.equal(unitOf('a😀b', 3), 3)
  assert.equal(columnOf('a😀b', 3), 3)
  assert.equal(unitOf('ab', 99), 2)
  assert.equal(unitOf('', 1), 0)
})

test('routes', () => {
  const r = parseRoute('#/jobs/a%2Fb/sql?line=3')
  assert.deepEqual([r.parts, r.query.get('line')], [['jobs', 'a/b', 'sql'], '3'])
  assert.deepEqual(parseRoute('').parts, [])
  assert.deepEqual(parseRoute('#/%').parts, ['%'])
})

test('skew compares with the mean', () => {
  assert.equal(skew([10, 10]), 1)
  assert.equal(skew([30, 10, null]), 1.5)
  assert.equal(skew([5]), null)
  assert.equal(skew([0, 0]), null)
})

test('variables', () => {
  assert.deepEqual(parseVariables('A=1\n B = x=y \n\n=2\nnonsense'), { A: '1', B: 'x=y' })
})

test('lines break at gaps', () => {
  assert.deepEqual(segments([1, 2, null, 3, NaN]), [[[0, 1], [1, 2]], [[3, 3]]])
})

test('the newest rows come first, and not without end', () => {
  let got = merge({ columns: [], rows: [], seen: null, sampled: false }, { columns: [{ name: 'a', type: 'INT' }], rows: [[1], [2]], kinds: ['+I', '-D'], seen: 2 })
  assert.deepEqual(got.rows, [{ kind: '-D', values: [2] }, { kind: '+I', values: [1] }])
  got = merge(got, { rows: Array.from({ length: 500 }, (_, i) => [i]), kinds: null, seen: 502, sampled: true })
  assert.equal(got.rows.length, 100)
  assert.deepEqual([got.columns.length, got.seen, got.sampled, got.rows[0]!.values[0]], [1, 502, true, 499])
})

test('flame graphs: widths add up, recursion counts once', () => {
  const root = { name: 'root', value: 10, children: [{ name: 'a/b.f', value: 6, children: [{ name: 'a/b.f', value: 4 }] }, { name: 'c.g', value: 3 }] }
  const b = bars(root, 0)
  assert.deepEqual(b.map((x) => [x.frame.name, x.x, x.width, x.depth]), [['root', 0, 1, 0], ['a/b.f', 0, 0.6, 1], ['a/b.f', 0, 0.4, 2], ['c.g', 0.6, 0.3, 1]])
  assert.equal(bars(root, 0.35).length, 3)
  assert.deepEqual(selfTimes(root), [{ name: 'a/b.f', self: 6, total: 6 }, { name: 'c.g', self: 3, total: 3 }, { name: 'root', self: 1, total: 10 }])
  assert.equal(short('github.com/x/y/engine/vec.(*Sum).Add'), 'vec.(*Sum).Add')
})

test('large whole numbers keep their digits where the runtime lets them, and are numbers elsewhere', () => {
  const [a, b, c, d] = parseExact('[9007199254740993, 1.5, "x", 1.50]') as [unknown, number, string, unknown]
  let shows = false
  JSON.parse('1', ((_k: string, v: unknown, context?: { source?: string }) => ((shows = context?.source === '1'), v)) as (k: string, v: unknown) => unknown)
  assert.equal(a, shows ? '9007199254740993' : 9007199254740992)
  assert.deepEqual([b, c, d], [1.5, 'x', shows ? '1.50' : 1.5])
})
