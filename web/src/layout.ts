// A layered layout of a dataflow graph: longest paths make the layers, sweeps by barycentre order them, and positions within a layer
// minimise the squared distance to their neighbours under a smallest gap. Pure, and the same for the same input: a graph that is
// refreshed every second must not move.

export interface Box {
  id: string
  width: number
  height: number
}

export interface Link {
  source: string
  target: string
}

export interface Placed {
  x: number
  y: number
  width: number
  height: number
  layer: number
}

export interface Route {
  // The curve, as SVG path data.
  path: string
  // Where a label sits.
  x: number
  y: number
}

export interface Layout {
  width: number
  height: number
  nodes: Map<string, Placed>
  // By index of the link that was passed in; undefined where an end is unknown.
  routes: (Route | undefined)[]
}

export interface Options {
  // lr draws from left to right, tb from top to bottom.
  direction: 'lr' | 'tb'
  layerGap: number
  nodeGap: number
}

// Within, along is the axis of the flow and across the other: x and y for lr.
interface Item {
  id: string
  along: number // extent
  across: number // extent
  layer: number
  centre: number
  before: Item[]
  after: Item[]
  real: boolean
}

const sweeps = 8

export function layout(boxes: readonly Box[], links: readonly Link[], options: Options): Layout {
  const lr = options.direction === 'lr'
  const items = new Map<string, Item>()
  for (const b of boxes) {
    items.set(b.id, {
      id: b.id, along: lr ? b.width : b.height, across: lr ? b.height : b.width,
      layer: 0, centre: 0, before: [], after: [], real: true,
    })
  }
  assignLayers(items, links)
  const layers: Item[][] = []
  const at = (i: number) => (layers[i] ??= [])
  for (const item of items.values()) at(item.layer).push(item)
  for (let i = 0; i < layers.length; i++) at(i)
  const chains = links.map((l) => connect(items.get(l.source), items.get(l.target), at))
  order(layers)
  position(layers, options.nodeGap)
  return draw(layers, chains, options, lr)
}

// assignLayers puts every node behind all that feed it. Links that would close a circle do not count.
function assignLayers(items: Map<string, Item>, links: readonly Link[]): void {
  const out = new Map<string, string[]>()
  for (const l of links) {
    if (l.source !== l.target && items.has(l.source) && items.has(l.target)) {
      out.set(l.source, [...(out.get(l.source) ?? []), l.target])
    }
  }
  const state = new Map<string, 'open' | 'done'>()
  const sorted: Item[] = []
  const kept = new Map<string, string[]>()
  const visit = (root: string) => {
    const stack: { id: string; next: number }[] = [{ id: root, next: 0 }]
    state.set(root, 'open')
    while (stack.length) {
      const top = stack[stack.length - 1]!
      const target = (out.get(top.id) ?? [])[top.next++]
      if (target === undefined) {
        state.set(top.id, 'done')
        sorted.push(items.get(top.id)!)
        stack.pop()
        continue
      }
      if (state.get(target) === 'open') continue
      kept.set(top.id, [...(kept.get(top.id) ?? []), target])
      if (!state.has(target)) {
        state.set(target, 'open')
        stack.push({ id: target, next: 0 })
      }
    }
  }
  for (const id of items.keys()) if (!state.has(id)) visit(id)
  for (const item of sorted.reverse()) {
    for (const t of kept.get(item.id) ?? []) {
      const target = items.get(t)!
      target.layer = Math.max(target.layer, item.layer + 1)
    }
  }
  // A source next to what it feeds, not at the far left of a long chain beside it.
  for (const item of sorted.reverse()) {
    const targets = kept.get(item.id) ?? []
    if (targets.length) item.layer = Math.max(item.layer, Math.min(...targets.map((t) => items.get(t)!.layer)) - 1)
  }
}

// connect links two items by stand-ins in the layers between, so that a long link has its own room. It returns the chain from source
// to target; undefined if an end is unknown.
function connect(source: Item | undefined, target: Item | undefined, at: (i: number) => Item[]): Item[] | undefined {
  if (!source || !target) return undefined
  const chain = [source]
  const forward = target.layer > source.layer
  for (let i = source.layer + 1; forward && i < target.layer; i++) {
    const dummy: Item = { id: '', along: 0, across: 8, layer: i, centre: 0, before: [], after: [], real: false }
    at(i).push(dummy)
    chain.push(dummy)
  }
  chain.push(target)
  for (let i = 0; forward && i + 1 < chain.length; i++) {
    chain[i]!.after.push(chain[i + 1]!)
    chain[i + 1]!.before.push(chain[i]!)
  }
  return chain
}

function order(layers: Item[][]): void {
  let best = layers.map((l) => l.slice())
  let fewest = crossings(layers)
  for (let s = 0; s < sweeps && fewest > 0; s++) {
    const down = s % 2 === 0
    const rank = new Map<Item, number>()
    const note = (l: Item[]) => l.forEach((item, i) => rank.set(item, i))
    layers.forEach(note)
    const sequence = down ? layers : layers.slice().reverse()
    for (const layer of sequence) {
      const weight = new Map<Item, number>()
      layer.forEach((item, i) => {
        const near = down ? item.before : item.after
        weight.set(item, near.length ? near.reduce((sum, n) => sum + rank.get(n)!, 0) / near.length : i)
      })
      layer.sort((a, b) => weight.get(a)! - weight.get(b)!)
      note(layer)
    }
    transpose(layers, rank)
    const n = crossings(layers)
    if (n < fewest) {
      fewest = n
      best = layers.map((l) => l.slice())
    }
  }
  best.forEach((l, i) => (layers[i] = l))
}

// transpose swaps neighbours in a layer as long as that leaves fewer crossings: what the mean of neighbours cannot see.
function transpose(layers: Item[][], rank: Map<Item, number>): void {
  const crossed = (a: readonly Item[], b: readonly Item[]) => {
    let n = 0
    for (const x of a) for (const y of b) if (rank.get(x)! > rank.get(y)!) n++
    return n
  }
  let better = true
  for (let turn = 0; better && turn < sweeps; turn++) {
    better = false
    for (const layer of layers) {
      for (let i = 0; i + 1 < layer.length; i++) {
        const a = layer[i]!
        const b = layer[i + 1]!
        if (crossed(b.before, a.before) + crossed(b.after, a.after) >= crossed(a.before, b.before) + crossed(a.after, b.after)) continue
        layer[i] = b
        layer[i + 1] = a
        rank.set(b, i).set(a, i + 1)
        better = true
      }
    }
  }
}

// crossings counts pairs of links between neighbouring layers that cross.
export function crossings(layers: readonly Item[][]): number {
  let n = 0
  for (let i = 0; i + 1 < layers.length; i++) {
    const rank = new Map(layers[i + 1]!.map((item, r) => [item, r]))
    const ends = layers[i]!.flatMap((item) => item.after.map((a) => rank.get(a) ?? 0).sort((a, b) => a - b))
    for (let a = 0; a < ends.length; a++) for (let b = a + 1; b < ends.length; b++) if (ends[b]! < ends[a]!) n++
  }
  return n
}

function position(layers: Item[][], gap: number): void {
  for (const layer of layers) {
    let at = 0
    for (const item of layer) {
      item.centre = at + item.across / 2
      at += item.across + gap
    }
  }
  for (let s = 0; s < 2 * sweeps; s++) {
    const down = s % 2 === 0
    for (const layer of down ? layers : layers.slice().reverse()) {
      const wanted = layer.map((item) => {
        const near = s >= 2 * sweeps - 2 ? [...item.before, ...item.after] : down ? item.before : item.after
        return near.length ? near.reduce((sum, n) => sum + n.centre, 0) / near.length : item.centre
      })
      place(layer, wanted, gap)
    }
  }
  const least = Math.min(...layers.flat().map((i) => i.centre - i.across / 2), Infinity)
  if (Number.isFinite(least)) for (const item of layers.flat()) item.centre -= least
}

// place moves a layer's items as near as their gaps allow to where they want to be, in the sense of least squares: neighbours that
// would overlap are pooled into blocks, which take their mean.
function place(layer: Item[], wanted: number[], gap: number): void {
  const offset: number[] = []
  layer.forEach((item, i) => {
    const before = layer[i - 1]
    offset.push(before ? offset[i - 1]! + (before.across + item.across) / 2 + gap : 0)
  })
  const blocks: { sum: number; n: number }[] = []
  layer.forEach((_, i) => {
    let block = { sum: wanted[i]! - offset[i]!, n: 1 }
    for (let last = blocks[blocks.length - 1]; last && last.sum / last.n >= block.sum / block.n; last = blocks[blocks.length - 1]) {
      block = { sum: block.sum + last.sum, n: block.n + last.n }
      blocks.pop()
    }
    blocks.push(block)
  })
  let i = 0
  for (const b of blocks) for (let k = 0; k < b.n; k++, i++) layer[i]!.centre = b.sum / b.n + offset[i]!
}

function draw(layers: Item[][], chains: (Item[] | undefined)[], options: Options, lr: boolean): Layout {
  const start: number[] = []
  let at = 0
  for (const layer of layers) {
    start.push(at)
    at += Math.max(0, ...layer.map((i) => i.along)) + options.layerGap
  }
  const nodes = new Map<string, Placed>()
  let across = 0
  for (const item of layers.flat()) {
    across = Math.max(across, item.centre + item.across / 2)
    if (!item.real) continue
    const a = start[item.layer]!
    const c = item.centre - item.across / 2
    nodes.set(item.id, {
      x: round(lr ? a : c), y: round(lr ? c : a),
      width: lr ? item.along : item.across, height: lr ? item.across : item.along, layer: item.layer,
    })
  }
  const along = Math.max(0, at - options.layerGap)
  const widest = layers.map((l) => Math.max(0, ...l.map((i) => i.along)))
  const routes = chains.map((chain) => chain && route(chain, start, widest, lr))
  return { width: Math.ceil(lr ? along : across), height: Math.ceil(lr ? across : along), nodes, routes }
}

// route is a curve through the chain that leaves and enters along the flow. The label sits right before the target, where curves that
// left one source have parted.
function route(chain: Item[], start: number[], widest: number[], lr: boolean): Route {
  const p = (along: number, across: number) => (lr ? `${round(along)},${round(across)}` : `${round(across)},${round(along)}`)
  const first = chain[0]!
  let a = start[first.layer]! + first.along
  let c = first.centre
  let path = `M${p(a, c)}`
  let label = { along: a, across: c }
  for (const item of chain.slice(1)) {
    const to = start[item.layer]!
    const bend = Math.max(24, (to - a) / 2)
    path += `C${p(a + bend, c)} ${p(to - bend, item.centre)} ${p(to, item.centre)}`
    label = { along: (a + to) / 2, across: (c + item.centre) / 2 }
    a = to
    c = item.centre
    if (!item.real && widest[item.layer]) {
      a = to + widest[item.layer]!
      path += `L${p(a, c)}`
    }
  }
  return { path, x: round(lr ? label.along : label.across), y: round(lr ? label.across : label.along) }
}

const round = (n: number) => Math.round(n * 10) / 10
