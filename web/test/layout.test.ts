import assert from 'node:assert/strict'
import { test } from 'node:test'
import { layout, type Box, type Layout, type Link, type Options } from '../src/layout.ts'

const lr: Options = { direction: 'lr', layerGap: 60, nodeGap: 20 }
const box = (id: string, height = 80): Box => ({ id, width: 200, height })
const link = (s: string): Link => ({ source: s[0]!, target: s[1]! })

function noOverlap(l: Layout): void {
  const all = [...l.nodes]
  for (const [a, p] of all) {
    assert.ok(p.x >= -0.1 && p.y >= -0.1 && p.x + p.width <= l.width + 0.1 && p.y + p.height <= l.height + 0.1, `${a} is outside`)
    for (const [b, q] of all) {
      if (a < b) assert.ok(p.x + p.width <= q.x || q.x + q.width <= p.x || p.y + p.height <= q.y + 0.2 || q.y + q.height <= p.y + 0.2, `${a} overlaps ${b}`)
    }
  }
}

// A generator that is the same every time.
function random(seed: number): () => number {
  return () => (seed = (seed * 1664525 + 1013904223) % 4294967296) / 4294967296
}

test('a chain is straight, and runs from left to right', () => {
  const l = layout(['a', 'b', 'c'].map((id, i) => box(id, 60 + 40 * i)), ['ab', 'bc'].map(link), lr)
  const [a, b, c] = ['a', 'b', 'c'].map((id) => l.nodes.get(id)!)
  assert.ok(a!.x + a!.width < b!.x && b!.x + b!.width < c!.x)
  assert.ok(Math.abs(a!.y + a!.height / 2 - (c!.y + c!.height / 2)) < 0.5, 'centres are level')
  assert.equal(l.width, 3 * 200 + 2 * 60)
})

test('top to bottom is the same, turned', () => {
  const l = layout([box('a'), box('b')], [link('ab')], { ...lr, direction: 'tb' })
  assert.equal(l.nodes.get('b')!.y, 80 + 60)
  assert.equal(l.width, 200)
})

test('a diamond is symmetrical', () => {
  const l = layout(['a', 'b', 'c', 'd'].map((id) => box(id)), ['ab', 'ac', 'bd', 'cd'].map(link), lr)
  noOverlap(l)
  const mid = (id: string) => l.nodes.get(id)!.y + 40
  assert.ok(Math.abs(mid('a') - (mid('b') + mid('c')) / 2) < 0.5)
  assert.ok(Math.abs(mid('a') - mid('d')) < 0.5)
})

test('what can be drawn without crossings is', () => {
  // Given crossed: a feeds d, b feeds c.
  const l = layout(['a', 'b', 'c', 'd'].map((id) => box(id)), ['ad', 'bc'].map(link), lr)
  const y = (id: string) => l.nodes.get(id)!.y
  assert.ok((y('a') - y('b')) * (y('d') - y('c')) > 0)
})

test('a long link keeps clear of what it passes', () => {
  const l = layout(['a', 'b', 'c'].map((id) => box(id)), ['ab', 'bc', 'ac'].map(link), lr)
  const b = l.nodes.get('b')!
  const passes = [...l.routes[2]!.path.matchAll(/(-?[\d.]+),(-?[\d.]+)/g)].map((m) => [Number(m[1]), Number(m[2])] as const)
  for (const [x, y] of passes) assert.ok(x <= b.x || x >= b.x + b.width || y < b.y || y > b.y + b.height, `${x},${y} is inside b`)
})

test('a source that feeds a late join stands next to it', () => {
  const l = layout(['a', 'b', 'c', 's'].map((id) => box(id)), ['ab', 'bc', 'sc'].map(link), lr)
  assert.equal(l.nodes.get('s')!.layer, 1)
})

test('circles, loops and unknown ends do no harm', () => {
  const l = layout(['a', 'b'].map((id) => box(id)), ['ab', 'ba', 'aa', 'ax'].map(link), lr)
  noOverlap(l)
  assert.equal(l.routes[3], undefined)
  assert.equal(layout([], [], lr).nodes.size, 0)
})

test('random graphs: nothing overlaps, links run forward, the same input gives the same drawing', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const next = random(seed)
    const n = 2 + Math.floor(next() * 30)
    const boxes = Array.from({ length: n }, (_, i) => ({ id: `n${i}`, width: 200, height: 40 + Math.floor(next() * 120) }))
    const links: Link[] = []
    for (let i = 1; i < n; i++) for (let k = 0; k < 1 + next() * 2; k++) links.push({ source: `n${Math.floor(next() * i)}`, target: `n${i}` })
    const l = layout(boxes, links, lr)
    noOverlap(l)
    for (const e of links) assert.ok(l.nodes.get(e.source)!.x + 200 < l.nodes.get(e.target)!.x, `seed ${seed}: ${e.source} > ${e.target}`)
    assert.deepEqual(layout(boxes, links, lr), l)
  }
})

test('two hundred operators take no noticeable time', () => {
  const boxes = Array.from({ length: 200 }, (_, i) => box(`n${i}`))
  const links = boxes.slice(1).map((b, i) => ({ source: `n${Math.floor(i / 3)}`, target: b.id }))
  const start = performance.now()
  layout(boxes, links, lr)
  assert.ok(performance.now() - start < 2000)
})
