// Every page in Firefox: it is drawn, is no wider than the screen, passes axe, and the browser complains of nothing. Firefox as distributions build it
// does not understand Playwright, so this speaks WebDriver BiDi with it. Started by web_test.go (-firefox) with
//   BASE     where the dashboard is, with JOB, a job that runs there
//   FIREFOX  the browser's program
//   PROFILE  an empty directory
import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

const { BASE, FIREFOX, PROFILE, JOB } = process.env
const axe = readFileSync(new URL('../../web/node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const patienceMs = 30_000
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const firefox = spawn(FIREFOX, ['--headless', '--no-remote', '--profile', PROFILE, '--remote-debugging-port', '0', 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] })
const address = await new Promise((resolve, reject) => {
  let said = ''
  firefox.stderr.on('data', (d) => {
    said += d
    const m = /WebDriver BiDi listening on (ws:\S+)/.exec(said)
    if (m) resolve(m[1] + '/session')
  })
  firefox.on('exit', () => reject(new Error(`Firefox has ended: ${said}`)))
  setTimeout(() => reject(new Error(`Firefox does not listen: ${said}`)), patienceMs)
})
const socket = new WebSocket(address)
await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }))

const waiting = new Map()
let complaints = []
socket.onmessage = ({ data }) => {
  const { id, type, result, error, message, method, params } = JSON.parse(data)
  if (id) waiting.get(id)[type === 'error' ? 1 : 0](type === 'error' ? new Error(`${error}: ${message}`) : result)
  else if (method === 'log.entryAdded' && ['error', 'warn'].includes(params.level)) complaints.push(`${params.level}: ${params.text}`)
  else if (method === 'network.responseCompleted' && params.response.status >= 400) complaints.push(`${params.response.status} ${params.response.url}`)
}
let last = 0
const call = (method, params = {}) => new Promise((...ends) => {
  waiting.set(++last, ends)
  socket.send(JSON.stringify({ id: last, method, params }))
})

const { capabilities } = await call('session.new', { capabilities: {} })
console.log(`${capabilities.browserName} ${capabilities.browserVersion}`)
await call('session.subscribe', { events: ['log.entryAdded', 'network.responseCompleted'] })
const { context } = (await call('browsingContext.getTree')).contexts[0]

async function evaluate(expression) {
  const r = await call('script.evaluate', { expression, target: { context }, awaitPromise: true })
  assert.notEqual(r.type, 'exception', r.exceptionDetails?.text)
  return r.result.value
}

async function see(selector, text = '') {
  for (const until = Date.now() + patienceMs; ; await pause(100)) {
    if (await evaluate(`[...document.querySelectorAll(${JSON.stringify(selector)})].some((e) => e.textContent.includes(${JSON.stringify(text)}))`)) return
    assert.ok(Date.now() < until, `${selector} ${text} is not to be seen`)
  }
}

const click = (name) => evaluate(`[...document.querySelectorAll('button')].find((b) => b.textContent === ${JSON.stringify(name)}).click()`)

// A job that was just submitted has its tasks soon.
let TM
for (const until = Date.now() + patienceMs; !TM && Date.now() < until; await pause(200)) {
  const job = await (await fetch(`${BASE}/api/v1/jobs/${JOB}`)).json()
  if (job.state === 'RUNNING') TM = job.vertices[0].tasks[0]?.taskmanager
}
const pages = [
  ['#/', 'tbody tr', 'house'], [`#/jobs/${JOB}`, '.vertex .rates', 'busy'], [`#/jobs/${JOB}/data`, 'h2', 'Bad records', ['Show live rows', 'table.data tbody tr', '']],
  [`#/jobs/${JOB}/checkpoints`, 'tbody tr', 'completed'], [`#/jobs/${JOB}/exceptions`, 'h2', 'Restarts'], [`#/jobs/${JOB}/sql`, '.script', 'SELECT'],
  ['#/submit', '.problems', 'No problem found.', ['Preview', 'table.data tbody tr', '']], [`#/taskmanagers/${TM}`, '.log div', 'level=INFO'],
  [`#/taskmanagers/${TM}/goroutines`, 'pre.log', 'goroutine'], [`#/taskmanagers/${TM}/profile`, 'h2', 'CPU profile', ['Record a flame graph', '.flame rect', '']],
  ['#/nowhere', 'h1', 'There is no such page'],
]
try {
  for (const [width, height] of [[1280, 800], [390, 844]]) {
    await call('browsingContext.setViewport', { context, viewport: { width, height } })
    for (const [hash, selector, text, then] of pages) {
      complaints = []
      await call('browsingContext.navigate', { context, url: 'about:blank', wait: 'complete' })
      await call('browsingContext.navigate', { context, url: `${BASE}/${hash}`, wait: 'complete' })
      await see(selector, text)
      if (then) {
        await click(then[0])
        await see(then[1], then[2])
      }
      await evaluate(`(() => { ${axe} })()`)
      const found = await evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map((v) => v.id + ': ' + v.nodes[0].html.slice(0, 160)).join('; '))`)
      assert.equal(found, '', `accessibility of ${hash}`)
      assert.equal(await evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'), 0, `${hash} is wider than ${width} px`)
      assert.deepEqual(complaints, [], hash)
    }
    console.log(`${pages.length} pages at ${width} x ${height}: as they should be`)
  }
} catch (e) {
  console.error(e)
  process.exitCode = 1
} finally {
  firefox.kill()
}
process.exit()
