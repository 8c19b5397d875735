// What a person does with the dashboard, in a real browser: node dashboard.mjs SCENARIO, started by web_test.go with
//   BASE      where the dashboard is
//   CHROMIUM  the browser's program
//   FAILURE   where a picture of the page goes if something is not as it should be
//   PICTURES  the directory of the documentation's pictures, if they should be taken anew
// A line "@word" asks the test around it for something.
import { strict as assert } from 'node:assert'
import { mkdirSync, readFileSync } from 'node:fs'
import { chromium } from '../../web/node_modules/playwright-core/index.mjs'

const { BASE, CHROMIUM, FAILURE, PICTURES } = process.env
const axe = readFileSync(new URL('../../web/node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const desktop = { width: 1280, height: 800 }
const phone = { width: 390, height: 844 }

// Enough to be seen in a profile of five seconds; pictures show a job that has something to do.
const rows = PICTURES ? 300_000 : 40_000

const script = `SET 'pipeline.name' = 'house';
SET 'execution.checkpointing.interval' = '2 s';
SET 'parallelism.default' = '2';

CREATE TABLE readings (
  sensor INT,
  temperature DOUBLE,
  ts TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '${rows}',
  'fields.sensor.min' = '1',
  'fields.sensor.max' = '50',
  'fields.temperature.min' = '15',
  'fields.temperature.max' = '30'
);

CREATE TABLE averages (
  sensor INT, window_end TIMESTAMP(3), average DOUBLE
) WITH ('connector' = 'blackhole');

CREATE TABLE latest (
  sensor INT, temperature DOUBLE, readings BIGINT, PRIMARY KEY (sensor) NOT ENFORCED
) WITH ('connector' = 'blackhole');

INSERT INTO averages
SELECT sensor, window_end, AVG(temperature)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY sensor, window_start, window_end;

INSERT INTO latest
SELECT sensor, LAST_VALUE(temperature), COUNT(*) FROM readings GROUP BY sensor;
`

let page
let complaints = []

const step = (text) => console.log(text)
const see = (locator, timeout = 30_000) => locator.first().waitFor({ state: 'visible', timeout })
const button = (name, exact = true) => page.getByRole('button', { name, exact })
const at = (hash) => page.goto(BASE + '/' + hash)

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: desktop, colorScheme: 'light', ...options })
  page = await context.newPage()
  page.setDefaultTimeout(30_000)
  page.on('console', (m) => {
    if (['error', 'warning'].includes(m.type())) complaints.push(`${m.type()}: ${m.text()} (${m.location().url})`)
  })
  page.on('pageerror', (e) => complaints.push(`exception: ${e.stack}`))
}

// accessible runs axe, and looks whether the page is wider than the screen.
async function accessible(what) {
  // What fades in has no contrast yet.
  await page.waitForTimeout(500)
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ''}`).slice(0, 5).join(' | ')}`), [], `accessibility of ${what}`)
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.equal(over, 0, `${what} is ${over} px wider than the screen`)
}

async function picture(name) {
  if (!PICTURES) return
  mkdirSync(PICTURES, { recursive: true })
  // Nothing looks as if it were pointed at, but for what is.
  if (!name.includes('typo')) await page.mouse.move(2, 400)
  await page.screenshot({ path: `${PICTURES}/${name}.png` })
}

async function write(text) {
  await page.locator('.cm-content').click()
  await page.keyboard.press('Control+A')
  await page.keyboard.insertText(text)
}

// offers says whether the jobmanager has a part of the API; what the browser says of the question is no complaint.
const asked = []
const offers = (method, path) => (asked.push(`/api/v1/${path})`), page.evaluate(async ([m, p]) => {
  const stop = new AbortController()
  const r = await fetch('api/v1/' + p, { method: m, signal: stop.signal, ...(m === 'POST' ? { body: '{}' } : {}) })
  stop.abort()
  return r.status !== 404 && r.status !== 501
}, [method, path]))

// light says whether the first page comes with few bytes, and all of them from here.
async function light() {
  const got = await page.evaluate(() => performance.getEntriesByType('resource').filter((e) => !e.name.includes('/api/')).map((e) => ({ name: e.name, bytes: e.transferSize, ms: Math.round(e.responseEnd) })))
  const bytes = got.reduce((sum, e) => sum + e.bytes, 0)
  step(`the first page: ${got.length} files, ${bytes} bytes, all there after ${Math.max(...got.map((e) => e.ms))} ms`)
  assert.ok(got.length >= 3 && bytes > 10_000 && bytes < 60_000, JSON.stringify(got))
  assert.deepEqual(got.filter((e) => !e.name.startsWith(BASE)), [])
}

async function typoIsUnderlined() {
  step('a typo is underlined where it is')
  await at('#/submit')
  await see(page.locator('.cm-content'))
  await write(script.replace('AVG(temperature)', 'AVG(temprature)'))
  const wrong = page.locator('.cm-lintRange-error')
  await see(wrong)
  assert.equal(await wrong.first().innerText(), 'temprature')
  await see(page.getByText('1 problem'))
  const problem = page.locator('.problems button')
  const before = script.slice(0, script.indexOf('temperature)\nFROM')).split('\n')
  assert.match(await problem.innerText(), new RegExp(`^${before.length}:${before.at(-1).length + 1}\\s[^]*temprature`))
  await page.locator('.cm-lintRange-error').hover()
  await see(page.locator('.cm-diagnostic'))
  await picture('dashboard-typo')
  await page.mouse.move(10, 10)
  await accessible('the editor with an error')
}

async function planIsDrawn() {
  step('the plan is drawn when it is right')
  await write(script)
  await see(page.getByText('No problem found.'))
  assert.equal(await page.locator('.cm-lintRange-error').count(), 0)
  await see(page.locator('.vertex', { hasText: 'averages' }))
  assert.equal(await page.locator('.vertex').count(), 3)
  await accessible('the editor')
  await picture('dashboard-submit')
}

async function completes() {
  if (!(await offers('POST', 'sql/complete'))) return step('no completion yet')
  step('tables and columns are completed')
  await write(script + '\nSELECT temp')
  await page.keyboard.press('Control+Space')
  await see(page.locator('.cm-tooltip-autocomplete'))
  await see(page.locator('.cm-tooltip-autocomplete li', { hasText: 'temperature' }))
  await picture('dashboard-completion')
  await page.keyboard.press('Escape')
}

async function previews() {
  if (!(await offers('POST', 'sql/preview'))) return step('no preview yet')
  step('a query without a sink shows its first rows')
  await write(script.slice(0, script.indexOf('INSERT')) + 'SELECT sensor, temperature FROM readings WHERE sensor < 10;')
  await see(page.getByText('No problem found.'))
  await button('Preview').first().click()
  await see(page.locator('table.data tbody tr'))
  await see(page.locator('table.data th', { hasText: 'temperature' }))
  await accessible('a preview')
  await picture('dashboard-preview')
}

async function submits() {
  step('submitted, it runs: graph, rates')
  await write(script)
  await see(page.getByText('No problem found.'))
  await button('Submit').click()
  await page.waitForURL(/#\/jobs\/[0-9a-f]{32}/)
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  await see(page.locator('.vertex', { hasText: 'readings' }))
  await see(page.locator('.edge-label', { hasText: /[1-9][\d.]*(\s?k)?\/s/ }))
  return /#\/jobs\/([0-9a-f]+)/.exec(page.url())[1]
}

async function vertexOpens() {
  step('an operator opens: tasks, state, SQL')
  const vertex = page.locator('.vertex', { hasText: 'latest' })
  await vertex.focus()
  await page.keyboard.press('Enter')
  await see(page.getByRole('table', { name: 'Tasks of this vertex' }))
  assert.equal(await page.getByRole('table', { name: 'Tasks of this vertex' }).locator('tbody tr').count(), 2)
  await see(page.getByText('LAST_VALUE'))
  await page.waitForTimeout(PICTURES ? 8000 : 0)
  await page.locator('.vertex[aria-pressed=true]').evaluate((e) => scrollTo(0, e.getBoundingClientRect().top + scrollY + 110))
  await picture('dashboard-operator')
  await see(page.locator('.facts', { hasText: 'Keys' }).getByText('50', { exact: true }))
}

async function checkpoints() {
  step('a checkpoint appears')
  await page.getByRole('link', { name: /^Checkpoints/ }).click()
  const done = page.locator('tbody tr', { hasText: 'completed' })
  await see(done)
  await done.first().getByRole('button', { name: /^More/ }).click()
  await see(page.getByRole('group', { name: 'Tasks of the checkpoint' }))
  step('a savepoint is taken')
  await page.getByRole('group', { name: 'Actions' }).getByRole('button', { name: 'Savepoint' }).click()
  await accessible('a dialog')
  await page.getByRole('dialog').getByRole('button', { name: 'Take a savepoint' }).click()
  await see(page.getByRole('dialog', { name: 'The savepoint is complete' }))
  const path = await page.getByRole('dialog').locator('code').innerText()
  assert.match(path, /^file:\/\/\/.*savepoint/)
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
  await see(page.locator('tbody tr', { hasText: 'savepoint' }))
  await accessible('checkpoints')
  await picture('dashboard-checkpoints')
  return path
}

async function dataTab(id) {
  if (!(await offers('GET', `jobs/${id}/rejected`))) return step('no rejected records yet')
  step('rows are seen as they flow')
  await at(`#/jobs/${id}/data`)
  await see(page.getByText('Bad records'))
  await button('Show live rows').click()
  await see(page.locator('table.data tbody tr'))
  await accessible('live rows')
  await picture('dashboard-data')
}

async function rescales(id) {
  step('it is rescaled')
  await at(`#/jobs/${id}`)
  await button('Rescale').click()
  await page.getByLabel('Parallelism').fill('1')
  await page.getByRole('dialog').getByRole('button', { name: 'Rescale' }).click()
  await see(page.getByRole('dialog', { name: 'The job runs with parallelism 1' }), 60_000)
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.vertex .p', { hasText: '× 1' }))
  await see(page.locator('.badge.ok', { hasText: 'running' }))
}

async function processPages() {
  if (!(await offers('GET', 'taskmanagers/jobmanager/logs?lines=1'))) return step('no pages of processes yet')
  step('logs, goroutines and a flame graph of a taskmanager')
  await at('#/')
  await page.getByRole('region', { name: /^Taskmanagers/ }).getByRole('link').first().click()
  await see(page.locator('.log div', { hasText: 'level=INFO' }))
  await accessible('logs')
  await page.getByRole('link', { name: 'Goroutines' }).click()
  await see(page.locator('pre.log', { hasText: 'goroutine' }))
  await page.getByRole('link', { name: 'CPU profile' }).click()
  await page.getByLabel('For how long').selectOption('5')
  await button('Record a flame graph').click()
  await see(page.locator('.flame rect'))
  await accessible('a flame graph')
  await picture('dashboard-flame')
}

async function everyPageOnAPhone(id) {
  step('every page on a phone and in the dark')
  await page.context().close()
  await open(page.context().browser(), { viewport: phone, colorScheme: 'dark', isMobile: true, hasTouch: true })
  for (const [name, hash, sign] of [
    ['the cluster', '#/', 'house'], ['a job', `#/jobs/${id}`, 'Dataflow'], ['checkpoints', `#/jobs/${id}/checkpoints`, 'History'],
    ['exceptions', `#/jobs/${id}/exceptions`, 'Restarts'], ['a script', `#/jobs/${id}/sql`, 'Script'], ['the editor', '#/submit', 'No problem found.'],
  ]) {
    await at(hash)
    await see(page.getByText(sign))
    if (name === 'a job') await see(page.locator('.vertex'))
    await accessible(`${name} on a phone`)
    if (name === 'the cluster') await picture('dashboard-phone-cluster')
    if (name === 'a job') await picture('dashboard-phone-job')
  }
  await page.context().close()
  await open(page.context().browser())
}

async function restartsAndEnds(id) {
  step('it is stopped with a savepoint, and starts again from it')
  await at(`#/jobs/${id}`)
  await button('Stop').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Stop the job' }).click()
  await see(page.getByRole('dialog', { name: 'The job has stopped' }))
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.badge', { hasText: 'finished' }))
  await button('Restart').click()
  assert.match(await page.getByLabel('Path of the savepoint').inputValue(), /^file:\/\/\/.*savepoint/)
  await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click()
  await page.waitForURL((url) => /#\/jobs\/[0-9a-f]{32}/.test(url.hash) && !url.hash.includes(id))
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  step('it is restarted as it is')
  const second = page.url()
  await button('Restart').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click()
  await page.waitForURL((url) => /#\/jobs\/[0-9a-f]{32}/.test(url.hash) && !second.endsWith(url.hash))
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  step('it is cancelled')
  await button('Cancel').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click()
  await see(page.getByRole('dialog', { name: 'The job is cancelled' }))
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.badge', { hasText: /cancel/ }))
  assert.equal(await button('Savepoint').count(), 0)
}

const scenarios = {
  async job() {
    await at('')
    await see(page.getByText('No job yet'))
    await see(page.getByText('0 of 4 used'))
    await light()
    await typoIsUnderlined()
    await planIsDrawn()
    await completes()
    await previews()
    const id = await submits()
    await vertexOpens()
    await accessible('a job')
    const savepoint = await checkpoints()
    assert.ok(savepoint)
    await dataTab(id)
    await at(`#/jobs/${id}`)
    await see(page.locator('.chart .area'), 60_000)
    await picture('dashboard-job')
    await button('Use the dark theme').click()
    await accessible('a job in the dark')
    await picture('dashboard-job-dark')
    await page.reload()
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark', 'the theme is kept')
    await button('Use the light theme').click()
    await at('#/')
    await see(page.getByRole('link', { name: 'house' }))
    await accessible('the cluster')
    await picture('dashboard-cluster')
    await processPages()
    await everyPageOnAPhone(id)
    await rescales(id)
    await restartsAndEnds(id)
  },
  async empty() {
    step('an empty cluster says what to do')
    await at('')
    await see(page.getByText(/^taskmanager --jobmanager 127\.0\.0\.1:\d+$/))
    await see(page.getByText(/^bramble submit /))
    await accessible('an empty cluster')
    await at('#/jobs/00000000000000000000000000000000')
    await see(page.getByText('There is no such job'))
    await at('#/nowhere')
    await see(page.getByText('There is no such page'))
    // The browser reports the answer 404 itself.
    complaints = complaints.filter((c) => !c.includes('/jobs/0000'))
  },
  async token() {
    step('a token is asked for')
    await at('')
    await see(page.getByLabel('Token'))
    await accessible('signing in')
    await page.getByLabel('Token').fill('not-the-token')
    await button('Sign in').click()
    await see(page.getByText('That is not the token'))
    await page.getByLabel('Token').fill(process.env.TOKEN)
    await button('Sign in').click()
    await see(page.getByText('No taskmanager is registered'))
    await button('Sign out').click()
    await see(page.getByLabel('Token'))
    complaints = complaints.filter((c) => !/\b401\b/.test(c))
  },
  async readonly() {
    step('nothing can be changed, and it says why')
    await at('')
    await see(page.getByText('No job yet'))
    assert.equal(await page.getByRole('link', { name: 'Submit a job' }).count(), 0)
    await at('#/submit')
    await see(page.getByText(/http-read-only/))
    assert.ok(await button('Submit').isDisabled())
    await accessible('a read-only editor')
  },
  async disconnect() {
    step('a lost connection is seen, and found again')
    await at('')
    await see(page.getByText('Live', { exact: true }))
    console.log('@cut')
    await see(page.getByRole('alert').filter({ hasText: 'Disconnected' }))
    await accessible('a lost connection')
    console.log('@mend')
    await button('Try now').click().catch(() => {})
    await see(page.getByText('Live', { exact: true }))
    assert.equal(await page.getByRole('alert').count(), 0)
    complaints = complaints.filter((c) => !/ERR_(CONNECTION|EMPTY|INCOMPLETE|NETWORK)/.test(c))
  },
}

const scenario = scenarios[process.argv[2]]
if (!scenario || !BASE || !CHROMIUM) {
  console.error(`usage: BASE=http://HOST:PORT CHROMIUM=PROGRAM node dashboard.mjs ${Object.keys(scenarios).join('|')}`)
  process.exit(2)
}
// A container's root may not make the namespaces of Chromium's sandbox; the pages are our own.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
try {
  await open(browser)
  await scenario()
  complaints = complaints.filter((c) => !(/status of [45]0[0134]/.test(c) && asked.some((path) => c.endsWith(path))))
  assert.deepEqual(complaints, [], 'what the browser complained about')
  console.log(`${process.argv[2]}: as it should be`)
} catch (e) {
  console.error(e)
  for (const c of complaints) console.error(c)
  if (FAILURE) {
    await page.screenshot({ path: FAILURE }).catch(() => {})
    console.error(`the page as it was: ${FAILURE}`)
  }
  process.exitCode = 1
} finally {
  await browser.close()
}
