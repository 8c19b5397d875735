// A made-up cluster behind the jobmanager's HTTP API, to work on the dashboard without one: node build.mjs --dev [PORT]. With ?empty, ?many, ?readonly
// or ?token in the page's address the cluster is empty, has fifty jobs of twenty vertices, changes nothing, or asks for a token (any but "wrong" will do).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { readFileSync, existsSync } from 'node:fs'

const port = Number(process.argv[2]) || 8099
const started = Date.now() - 3 * 3600_000
const types: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }
const mode = { empty: false, many: false, readonly: false, token: false, down: false }

const wave = (period: number, phase = 0) => 0.5 + 0.5 * Math.sin(Date.now() / period + phase)
const noisy = (n: number) => n * (0.95 + Math.random() * 0.1)

const managers = () => (mode.empty ? [] : [
  ['tm-kitchen-4f21', 'pi-kitchen:6124', 'arm64', 4, 61], ['tm-attic-9b03', 'pi-attic:6124', 'arm', 4, 74], ['tm-nuc-17aa', 'nuc:6124', 'amd64', 8, null],
].map(([id, address, arch, cores, t], i) => ({
  id, address, dataAddress: address, os: 'linux', arch, cores, memoryBudgetBytes: 268435456, memoryUsedBytes: Math.round(noisy(90e6 + i * 50e6)), rssBytes: Math.round(noisy(140e6 + i * 30e6)),
  temperatureCelsius: t, slots: 4, slotsFree: [1, 0, 2][i], registeredAt: started + 5000, lastHeartbeatAt: Date.now() - 800, version: 'v0.9.0', goroutines: 70 + i * 9,
})))

const script = readFileSync('../examples/sensors.sql', 'utf8')

function vertex(id: string, name: string, operators: [string, string, string?][], p: number, busy: number, pressed: number, rateIn: number, rateOut: number, more: object = {}) {
  const tasks = Array.from({ length: p }, (_, i) => {
    const f = i === 0 ? 1.5 : (p - 1.5) / Math.max(1, p - 1)
    return {
      index: i, attempt: 1, state: 'RUNNING', taskmanager: ['tm-kitchen-4f21', 'tm-attic-9b03', 'tm-nuc-17aa'][i % 3], busyRatio: busy * f * 0.8, backpressuredRatio: pressed, idleRatio: Math.max(0, 1 - busy - pressed),
      recordsIn: Math.round(rateIn * 9000 * f), recordsOut: Math.round(rateOut * 9000 * f), recordsInPerSecond: (rateIn / p) * f, recordsOutPerSecond: (rateOut / p) * f,
      watermark: Date.now() - 2200 - i * 100, late: 0, bad: 0, stateBytes: Math.round(120_000 * f), stateKeys: Math.round(8 * f), error: null,
    }
  })
  return {
    id, name, parallelism: p, state: 'RUNNING', depth: 0, busyRatio: busy, backpressuredRatio: pressed, idleRatio: Math.max(0, 1 - busy - pressed),
    operators: operators.map(([n, kind, sql], i) => ({ id: `${id}-${i}`, name: n, kind, sqlLine: sql ? 55 : null, sqlColumn: sql ? 1 : null, sqlText: sql ?? null })),
    recordsIn: Math.round(rateIn * 9000), recordsOut: Math.round(rateOut * 9000), recordsInPerSecond: rateIn, recordsOutPerSecond: rateOut, bytesIn: rateIn * 400_000, bytesOut: rateOut * 400_000,
    watermark: Date.now() - 2300, watermarkLagMs: 2300, late: 0, bad: 0, stateBytes: 240_000, stateKeys: 17, latency: { p50: 3.2, p95: 14, p99: 41 },
    operatorMetrics: operators.map(([n], i) => ({ id: `${id}-${i}`, name: n, recordsIn: Math.round(rateIn * 9000), recordsOut: Math.round(rateOut * 9000), late: 0, bad: 0, stateBytes: i ? 240_000 : null, stateKeys: i ? 17 : null })),
    tasks, ...more,
  }
}

const window10 = 'SELECT sensor, window_start, window_end, COUNT(*), AVG(`value`), MIN(`value`), MAX(`value`)\nFROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL \'10\' SECOND))\nGROUP BY sensor, window_start, window_end'

// wide is a graph of twenty vertices, four of them joined, with links that skip layers.
function wide() {
  const name = (i: number) => (i < 4 ? `source-${i}` : i > 16 ? `sink-${i}` : `step-${i}`)
  const vertices = Array.from({ length: 20 }, (_, i) => vertex(`w${i}`, name(i), [[i < 4 ? `Source: ${name(i)}` : `GroupAggregate ${i}`, i < 4 ? 'source' : 'group'], [i > 16 ? `Sink: ${name(i)}` : 'Calc', i > 16 ? 'sink' : 'calc']], 2, (i % 10) / 10, i === 9 ? 0.7 : 0, 1000 * i, 900 * i))
  const edges = Array.from({ length: 16 }, (_, i) => [{ source: `w${i}`, target: `w${i + 4}`, kind: 'hash', recordsPerSecond: 1000 * i }, ...(i % 3 === 0 && i < 8 ? [{ source: `w${i}`, target: `w${i + 9}`, kind: 'broadcast', recordsPerSecond: 3 }] : [])]).flat()
  return { vertices, edges }
}

function graph() {
  const r = 1200 + 300 * wave(9000)
  return {
    vertices: [
      vertex('v1', 'readings', [['readings', 'source'], ['watermark ts', 'watermark'], ['calc', 'calc'], ['local window', 'window', window10]], 2, 0.34 + 0.2 * wave(7000), 0.02, 0, r, { bad: 14, recordsInPerSecond: 0 }),
      vertex('v2', 'window TUMBLE 10 s', [['global window', 'window', window10], ['sensor_windows', 'sink']], 4, 0.12 + 0.1 * wave(5000), 0, r / 30, r / 40, { late: 132 }),
      vertex('v3', 'latest by sensor', [['group by sensor', 'group'], ['latest', 'sink']], 4, 0.62, 0.06, r, r / 3, { stateBytes: 5_340_000, stateKeys: 48_211 }),
      vertex('v4', 'alerts', [['alerts', 'sink']], 1, 0.004, 0, 0.2, 0.2, { watermark: null, watermarkLagMs: null }),
    ],
    edges: [{ source: 'v1', target: 'v2', kind: 'hash', recordsPerSecond: r / 30 }, { source: 'v1', target: 'v3', kind: 'hash', recordsPerSecond: r }, { source: 'v1', target: 'v4', kind: 'forward', recordsPerSecond: 0.2 }],
  }
}

const many = () => Array.from({ length: 50 }, (_, i) => [`${i}`.padStart(32, 'f'), `job-${i}`, 'RUNNING', 1000 + i, i % 7, i, 0] as const)

const summaries = () => (mode.empty ? [] : mode.many ? many() : [
  ['a3f0c1d29b7e4c5f8a1b2c3d4e5f6071', 'sensors', 'RUNNING', 1372, 0, 132, 14], ['b11', 'nexmark-q5', 'RUNNING', 48_200, 2, 0, 0], ['c22', 'home-assistant', 'RESTARTING', 0, 7, 3, 0], ['d33', 'files', 'FINISHED', 0, 0, 0, 0], ['e44', 'redis', 'FAILED', 0, 3, 0, 1],
] as const).map(([id, name, state, r, restarts, late, bad]) => ({
  id, name, state, startedAt: started + 60_000, endedAt: state === 'FINISHED' || state === 'FAILED' ? Date.now() - 600_000 : null, durationMs: Date.now() - started, restarts, parallelism: 2, waitingReason: state === "RESTARTING" ? "4 slots are missing; start a taskmanager" : "",
  tasks: { running: state === 'RUNNING' ? 11 : state === 'RESTARTING' ? 3 : 0, total: 11 }, recordsInPerSecond: state === 'RUNNING' ? noisy(r as number) : null, recordsOutPerSecond: state === 'RUNNING' ? noisy((r as number) / 20) : null,
  busyRatio: state === 'RUNNING' ? 0.4 + 0.3 * wave(4000) : null, backpressuredRatio: state === 'RUNNING' ? 0.05 : null, watermarkLagMs: state === 'RUNNING' ? 2300 : null, late, bad, lastCheckpointAt: Date.now() - (Date.now() % 10_000), checkpointsFailed: restarts ? 1 : 0,
}))

const cluster = () => ({
  version: 'v0.9.0', startedAt: started, leaderEpoch: 3, address: 'pi-kitchen:6123', checkpointDir: mode.empty ? null : 'file:///mnt/checkpoints', slotsTotal: mode.empty ? 0 : 12, slotsAvailable: mode.empty ? 0 : 3,
  taskmanagers: managers(), jobs: summaries(),
})

const savepoints: number[] = []

function job(id: string) {
  const s = summaries().find((j) => j.id === id)
  if (!s) return undefined
  const n = Math.floor(Date.now() / 10_000)
  const history = Array.from({ length: 24 }, (_, i) => ({
    id: n - i, kind: savepoints.includes(n - i) || i === 5 ? 'savepoint' : 'checkpoint', state: i === 9 ? 'failed' : 'completed', triggeredAt: (n - i) * 10_000, durationMs: 38 + ((i * 7) % 31), sizeBytes: 5_640_000 + i * 1000, incrementBytes: 48_000 + i * 900,
    alignmentMs: 4 + (i % 5), path: i === 9 ? null : `file:///mnt/checkpoints/${id}/chk-${n - i}`, error: i === 9 ? 'task latest by sensor (2/4) did not answer within 10m' : null,
    tasks: ['v1', 'v2', 'v3'].flatMap((v) => [0, 1].map((index) => ({ vertex: v, index, alignmentMs: index * 3, durationMs: 20 + index * 14, sizeBytes: 940_000, incrementBytes: 8000 }))),
  }))
  return {
    ...s, script, cause: s.state === 'FAILED' ? 'redis redis://localhost:6379: connection refused' : null, ...(s.state === 'FINISHED' ? { vertices: [], edges: [] } : mode.many ? wide() : graph()),
    checkpoints: { interval: 10_000, counts: { completed: 1082, failed: 1, inProgress: 0, restored: 1 }, history },
    exceptions: s.restarts ? [{ at: Date.now() - 90_000, task: 'latest by sensor (2/4)', taskmanager: 'tm-attic-9b03', message: 'task latest by sensor (2/4): write sink "latest": redis redis://localhost:6379: dial tcp 127.0.0.1:6379: connection refused', root: 'dial tcp 127.0.0.1:6379: connection refused' }] : [],
    restartHistory: Array.from({ length: s.restarts as number }, (_, i) => ({ at: Date.now() - 90_000 * (i + 1), cause: 'dial tcp 127.0.0.1:6379: connection refused' })),
  }
}

function series() {
  const times = Array.from({ length: 360 }, (_, i) => Math.floor(Date.now() / 10_000) * 10_000 - (359 - i) * 10_000)
  const s = (f: (t: number, i: number) => number) => times.map((t, i) => (i > 190 && i < 200 ? null : f(t / 1000, i)))
  return {
    stepMs: 10_000, times, series: {
      recordsIn: s((t) => 1200 + 300 * Math.sin(t / 300) + 60 * Math.sin(t / 17)), recordsOut: s((t) => 420 + 90 * Math.sin(t / 300)), busy: s((t) => 0.5 + 0.2 * Math.sin(t / 200)), backpressured: s((t) => 0.06 + 0.05 * Math.sin(t / 90)),
      watermarkLagMs: s((t) => 2300 + 400 * Math.sin(t / 60)), late: s((_, i) => (i % 40 === 0 ? 3 : 0)), bad: s((_, i) => (i % 70 === 0 ? 1 : 0)), checkpointMs: s((t) => 45 + 12 * Math.sin(t / 20)),
    },
  }
}

function flame(name: string, value: number, depth: number): object {
  const names = ['engine/op/window.(*Window).Process', 'engine/table.(*Table).Find', 'engine/vec.Sum', 'runtime.mallocgc', 'engine/exchange.(*Gate).Next', 'encoding/json.Unmarshal', 'runtime.scanobject', 'engine/task.(*Task).run']
  if (depth > 9 || value < 4) return { name, value }
  const children = []
  let rest = value * 0.92
  for (let i = 0; rest > 3 && i < 4; i++) {
    const v = Math.round(rest * (0.35 + ((depth * 7 + i * 3) % 5) / 10))
    children.push(flame('github.com/bramble-stream/bramble/' + names[(depth * 3 + i * 5) % names.length], v, depth + 1))
    rest -= v
  }
  return { name, value, children }
}

async function body(req: IncomingMessage): Promise<Record<string, never>> {
  let text = ''
  for await (const c of req) text += String(c)
  return text ? JSON.parse(text) : {}
}

const json = (res: ServerResponse, doc: unknown, status = 200) => {
  res.writeHead(status, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify(doc))
}

function sse(res: ServerResponse, name: string, doc: () => unknown, ms: number) {
  res.writeHead(200, { 'Content-Type': 'text/event-stream' })
  const say = () => (mode.down ? res.destroy() : res.write(`event: ${name}\ndata: ${JSON.stringify(doc())}\n\n`))
  say()
  const t = setInterval(say, ms)
  res.on('close', () => clearInterval(t))
}

const triggers = new Map<string, number>()
let triggerCount = 0

function diagnose(text: string) {
  const lines = text.split('\n')
  return lines.flatMap((l, i) => {
    const at = l.search(/\btmep\b|\bSELCT\b/)
    return at < 0 ? [] : [{ line: i + 1, column: at + 1, endLine: i + 1, endColumn: at + 1 + (/^\w+/.exec(l.slice(at))?.[0].length ?? 1), message: l.includes('tmep') ? 'column "tmep" does not exist in "readings"; did you mean "temp"?' : 'a statement cannot begin with SELCT; did you mean SELECT?' }]
  })
}

async function api(path: string, url: URL, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const id = /^jobs\/([^/]+)/.exec(path)?.[1] ?? ''
  if (mode.down) return void res.destroy()
  if (path === 'session') return json(res, { version: 'v0.9.0', readOnly: mode.readonly, needsToken: mode.token, authenticated: !mode.token })
  if (path === 'login') {
    const ok = (await body(req))['token'] !== 'wrong'
    if (ok) mode.token = false
    return ok ? json(res, {}) : json(res, { errors: ['wrong token'] }, 401)
  }
  if (path === 'cluster') return json(res, cluster())
  if (path === 'events') return sse(res, 'cluster', cluster, 1000)
  if (path === 'examples') return json(res, ['sensors', 'redis', 'home-assistant', 'files'].map((n) => ({ name: n, title: n, script: readFileSync(`../examples/${n}.sql`, 'utf8') })))
  if (path === 'sql/validate') {
    const d = diagnose(String((await body(req))['script']))
    return json(res, { diagnostics: d, plan: d.length ? null : { vertices: graph().vertices.map(({ id: v, name, parallelism, operators }) => ({ id: v, name, parallelism, operators, depth: 0 })), edges: graph().edges.map(({ source, target, kind }) => ({ source, target, kind })) }, explain: d.length ? null : '== Physical plan ==\nsink sensor_windows\n  window TUMBLE 10 s\n    source readings' })
  }
  if (path === 'sql/complete') {
    const b = await body(req)
    const line = String(b['script']).split('\n')[Number(b['line']) - 1] ?? ''
    const word = /[\w.]*$/.exec(line.slice(0, Number(b['column']) - 1))![0]
    return json(res, { from: { line: b['line'], column: Number(b['column']) - word.length }, items: [['sensor', 'column', 'STRING'], ['temperature', 'column', 'DOUBLE'], ['readings', 'table', ''], ['SELECT', 'keyword', ''], ['AVG', 'function', 'average'], ['scan.startup.mode', 'option', 'redis-stream']].filter(([l]) => l!.toLowerCase().startsWith(word.toLowerCase())).map(([label, kind, detail]) => ({ label, kind, detail, insert: label })) })
  }
  if (path === 'sql/preview') {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' })
    res.write(`event: columns\ndata: ${JSON.stringify([{ name: 'sensor', type: 'INT' }, { name: 'temperature', type: 'DOUBLE' }])}\n\n`)
    for (let i = 0; i < 5; i++) {
      res.write(`event: rows\ndata: ${JSON.stringify({ rows: Array.from({ length: 4 }, () => [Math.ceil(Math.random() * 5), Math.round(Math.random() * 300) / 10]), kinds: ['+I', '+I', '+I', '+I'] })}\n\n`)
      await new Promise((r) => setTimeout(r, 300))
    }
    return void res.end('event: end\ndata: {"reason":"timeout","rows":20}\n\n')
  }
  if (path === 'jobs' && req.method === 'POST') {
    const d = diagnose(String((await body(req))['script']))
    return d.length ? json(res, { errors: d.map((x) => x.message), diagnostics: d }, 400) : json(res, { jobId: 'a3f0c1d29b7e4c5f8a1b2c3d4e5f6071' })
  }
  const trigger = /\/triggers\/(.+)$/.exec(path)?.[1]
  if (trigger) {
    const done = Date.now() - (triggers.get(trigger) ?? 0) > 1800
    return json(res, { state: done ? 'completed' : 'in_progress', path: done ? 'file:///mnt/checkpoints/savepoint-7' : null, error: null, startedAt: triggers.get(trigger), endedAt: null })
  }
  if (req.method === 'POST') {
    const t = `t${triggerCount++}`
    triggers.set(t, Date.now())
    if (path.endsWith('savepoints')) savepoints.push(Math.floor(Date.now() / 10_000))
    return json(res, { triggerId: t }, 202)
  }
  if (id && !job(id)) return json(res, { errors: [`job ${id} is not known`] }, 404)
  if (/^jobs\/[^/]+$/.test(path)) return json(res, job(id))
  if (/^jobs\/[^/]+\/events$/.test(path)) return sse(res, 'job', () => job(id), 1000)
  if (path.endsWith('/series')) return json(res, series())
  if (path.endsWith('/tail')) return sse(res, 'rows', () => ({ columns: [{ name: 'sensor', type: 'STRING' }, { name: 'value', type: 'DOUBLE' }, { name: 'ts', type: 'TIMESTAMP_LTZ(3)' }], rows: [['kitchen-temperature', 21.5, '2026-11-21 20:00:00.000'], ['cellar-humidity', null, '2026-11-21 20:00:00.120']], kinds: ['+I', '+U'], seen: 1200, sampled: true }), 700)
  if (path.endsWith('/rejected')) return json(res, { late: [{ at: Date.now() - 4000, operator: 'v2-0', row: { sensor: 'attic-humidity', value: 40.1 }, reason: 'watermark is 12.4 s ahead' }], bad: [{ at: Date.now() - 9000, operator: 'v1-0', payload: '{"sensor":"x", "value":', reason: 'unexpected end of JSON' }], lateTotal: 132, badTotal: 14 })
  if (path.endsWith('/logs') || path.endsWith('/goroutines')) {
    res.writeHead(200, { 'Content-Type': 'text/plain' })
    return void res.end(path.endsWith('/logs') ? Array.from({ length: 60 }, (_, i) => `time=2026-11-21T20:${String(i).padStart(2, '0')}:11.123Z level=${i % 17 === 5 ? 'WARN' : i % 31 === 7 ? 'ERROR' : 'INFO'} msg="checkpoint completed" epoch=${i} duration=41ms size=5640000`).join('\n') : 'goroutine profile: total 71\n12 @ 0x1 0x2\n#\t0x1\tgithub.com/bramble-stream/bramble/engine/task.(*Task).run+0x1\tengine/task/task.go:120\n\n3 @ 0x3\n#\t0x3\tinternal/poll.(*FD).Read+0x2\tfd_unix.go:165')
  }
  if (path.endsWith('/flamegraph')) {
    await new Promise((r) => setTimeout(r, Math.min(1500, Number(url.searchParams.get('seconds')) * 1000)))
    return json(res, flame('root', 1000, 0))
  }
  json(res, { errors: [`no ${path} here`] }, 404)
}

createServer((req, res) => {
  const url = new URL(req.url ?? '/', 'http://x')
  const path = url.pathname.slice(1)
  if (path.startsWith('api/v1/')) return void api(path.slice(7), url, req, res).catch((e: unknown) => json(res, { errors: [String(e)] }, 500))
  if (path === '' || path === 'index.html') for (const k of Object.keys(mode) as (keyof typeof mode)[]) mode[k] = url.searchParams.has(k)
  if (path === 'mode') {
    for (const k of Object.keys(mode) as (keyof typeof mode)[]) mode[k] = url.searchParams.has(k)
    return void res.end('ok')
  }
  const file = `.build/dev/${(path || 'index.html').replace(/^assets\//, '').replaceAll('..', '')}.gz`
  if (!existsSync(file)) return json(res, { errors: ['not found'] }, 404)
  res.writeHead(200, {
    'Content-Type': types[(path || 'index.html').split('.').pop()!] ?? 'text/plain', 'Content-Encoding': 'gzip', 'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'",
  })
  res.end(readFileSync(file))
}).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}`))
