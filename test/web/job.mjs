// A job from the first key in the editor to its end, and the processes that run it.
import { BASE, PICTURES, accessible, assert, at, button, desktop, dialog, gone, open, page, phone, picture, see, slowly, step, walk } from './page.mjs'
import { submits, toEditor } from './submit.mjs'

const tasks = () => page.getByRole('table', { name: 'Tasks of this vertex' })
const fact = (name) => page.locator('.facts > div', { has: page.getByText(name, { exact: true }) }).locator('dd')
const running = () => see(page.locator('.badge.ok', { hasText: 'running' }))
const stacksOfJobManager = () => page.evaluate(async () => (await fetch('api/v1/taskmanagers/jobmanager/goroutines')).text())
const tailing = async () => /rest\.\(\*Server\)\.tail\b/.test(await stacksOfJobManager())

export async function job() {
  await at('')
  await see(page.getByText('No job yet'))
  await see(page.getByText('0 of 4 used'))
  await light()
  await toEditor()
  const id = await submits()
  await vertex()
  const savepoint = await checkpoints()
  await tail(id)
  await rescales(id)
  await stops(id)
  await restarts(id, savepoint)
}

// pages goes through all pages of a job that runs: by mouse, by keyboard, on a phone.
export async function pages() {
  await toEditor()
  const id = await submits()
  await lastHour(id)
  await keyboard(id)
  await processes()
  await everyPageOnAPhone(id)
}

// light says whether the first page comes with few bytes, and all of them from here.
async function light() {
  const got = await page.evaluate(() => performance.getEntriesByType('resource').filter((e) => !e.name.includes('/api/')).map((e) => ({ name: e.name, bytes: e.transferSize, ms: Math.round(e.responseEnd) })))
  const bytes = got.reduce((sum, e) => sum + e.bytes, 0)
  step(`the first page: ${got.length} files, ${bytes} bytes, all there after ${Math.max(...got.map((e) => e.ms))} ms`)
  assert.ok(got.length >= 3 && bytes > 10_000 && bytes < 60_000, JSON.stringify(got))
  assert.deepEqual(got.filter((e) => !e.name.startsWith(BASE)), [])
}

async function vertex() {
  step('an operator opens: tasks, skew, state, keys, latency, SQL')
  await page.locator('.vertex', { hasText: 'latest' }).focus()
  await page.keyboard.press('Enter')
  await see(tasks())
  assert.equal(await tasks().locator('tbody tr').count(), 2)
  await see(fact('Keys').getByText('11', { exact: true }))
  await see(fact('State').getByText(/^[1-9][\d.]*\s(B|KiB)$/))
  await see(fact('Latency p50 / p95 / p99').getByText(/^[\d.<]+\sm?s \/ [\d.<]+\sm?s \/ [\d.<]+\sm?s$/))
  // Four fifths of the rows have one key.
  await see(fact('Skew').locator('.warn'))
  assert.match(await fact('Skew').innerText(), /^1\.[6-9]\s×$/)
  await see(fact('Lag').getByText(/^[\d.]+\s(ms|s)$/))
  await see(page.getByRole('region', { name: /^SQL of/ }).getByText('LAST_VALUE'))
  await page.waitForTimeout(PICTURES ? 8000 : 0)
  await page.locator('.vertex[aria-pressed=true]').evaluate((e) => scrollTo(0, e.getBoundingClientRect().top + scrollY + 110))
  if (PICTURES) await see(fact('Latency p50 / p95 / p99').getByText('/'))
  await picture('dashboard-operator')
  await accessible('a job and an operator')
  step('the SQL of an operator leads to its line in the script')
  await page.getByRole('link', { name: /^Line \d+, column \d+ of the script/ }).click()
  await see(page.getByRole('heading', { name: 'Script' }))
  await accessible('a script')
  await page.goBack()
  await see(tasks())
  await button('Close this panel').click()
  await gone(tasks())
}

async function checkpoints() {
  step('a checkpoint appears')
  await page.getByRole('link', { name: /^Checkpoints/ }).click()
  const done = page.locator('tbody tr', { hasText: 'completed' })
  await see(done)
  await done.first().getByRole('button', { name: /^More/ }).click()
  const detail = page.getByRole('group', { name: 'Tasks of the checkpoint' })
  await see(detail)
  assert.equal(await detail.locator('tbody tr').count(), 6)
  await accessible('the tasks of a checkpoint')
  step('a savepoint is taken, and shows that it goes on')
  await page.getByRole('group', { name: 'Actions' }).getByRole('button', { name: 'Savepoint' }).click()
  await see(dialog('Take a savepoint of house?'))
  await accessible('a dialog')
  await slowly('**/triggers/*', 1200, async () => {
    await dialog().getByRole('button', { name: 'Take a savepoint' }).click()
    await see(dialog().getByRole('status').getByText('Taking the savepoint'))
    await accessible('progress')
    await see(dialog('The savepoint is complete'))
  })
  const path = await dialog().locator('code').innerText()
  assert.match(path, /^file:\/\/\/.*savepoint/)
  await dialog().getByRole('button', { name: 'Close' }).click()
  await see(page.locator('tbody tr', { hasText: 'savepoint' }))
  await picture('dashboard-checkpoints')
  step('one that goes on behind a closed dialog says when it is complete')
  await page.getByRole('group', { name: 'Actions' }).getByRole('button', { name: 'Savepoint' }).click()
  await slowly('**/triggers/*', 1200, async () => {
    await dialog().getByRole('button', { name: 'Take a savepoint' }).click()
    await dialog().getByRole('button', { name: 'Close, go on in the background' }).click()
    await gone(page.locator('dialog'))
    await see(page.locator('.toasts').getByText(/^house: The savepoint is complete/))
  })
  await accessible('a toast')
  return path
}

async function tail(id) {
  step('rows are seen as they flow')
  await at(`#/jobs/${id}/data`)
  await see(page.getByText('Bad records'))
  assert.ok(!(await tailing()), 'nobody looks yet')
  await button('Show live rows').click()
  await see(page.locator('table.data tbody tr').nth(5))
  const status = page.getByRole('status').filter({ hasText: /[1-9].* seen/ })
  await see(status)
  const before = await status.innerText()
  await page.waitForFunction((old) => [...document.querySelectorAll('[role=status]')].some((e) => /seen/.test(e.innerText) && e.innerText !== old), before)
  assert.ok(await tailing(), 'somebody looks')
  await accessible('live rows')
  step('of any operator')
  const operators = page.getByLabel('Operator whose rows to show')
  await operators.selectOption({ label: (await operators.locator('option').allInnerTexts()).find((t) => t.startsWith('Source')) })
  await see(page.locator('table.data th', { hasText: 'temperature' }))
  await see(page.locator('table.data tbody tr'))
  await page.getByLabel('Vertex', { exact: true }).selectOption({ label: 'latest' })
  await gone(page.locator('table.data'))
  await button('Show live rows').click()
  await see(page.locator('table.data tbody tr', { hasText: /^\+[IU]/ }))
  step('it ends when the page is left')
  await page.getByRole('link', { name: 'Overview', exact: true }).click()
  for (const until = Date.now() + 10_000; await tailing(); await page.waitForTimeout(100)) assert.ok(Date.now() < until, 'the tail has gone on')
}

async function lastHour(id) {
  step('the last hour has its lines')
  await at(`#/jobs/${id}`)
  const records = page.getByRole('img', { name: /^Records of the last hour/ })
  await see(page.locator('.chart .area'), 60_000)
  await page.waitForFunction(() => document.querySelectorAll('.chart .line').length >= 6, undefined, { timeout: 60_000 })
  assert.match(await records.getAttribute('aria-label'), /now in [\d.]+\sk\/s, out [\d.]+(\sk)?\/s; at most [\d.]+\sk\/s/)
  for (const name of ['Busiest vertex', 'Watermark lag', 'Checkpoint duration']) {
    assert.doesNotMatch(await page.getByRole('img', { name: new RegExp(`^${name}`) }).getAttribute('aria-label'), /now [a-z]+ –/, name)
  }
  if (PICTURES) await page.waitForTimeout(60_000)
  await records.hover()
  await page.locator('.chart .cursor').waitFor({ state: 'attached' })
  await page.evaluate(() => scrollTo(0, 0))
  await page.mouse.move(2, 400)
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
}

// keyboard does without a mouse.
async function keyboard(id) {
  step('by keyboard: everything is reached, in order, and seen to have the focus')
  const first = await walk('the cluster')
  assert.deepEqual(first.slice(0, 4), ['a Skip to the content', 'a Bramble, cluster overview', 'a Cluster', 'a Submit'])
  await at(`#/jobs/${id}/checkpoints`)
  await see(page.locator('tbody tr', { hasText: 'completed' }))
  await walk('checkpoints')
  await at('#/submit')
  await see(page.getByText('No problem found.'))
  await walk('the editor')
  await at(`#/jobs/${id}`)
  await see(page.locator('.vertex'))
  await walk('a job')
  step('by keyboard: an operator, and a dialog that Escape closes')
  await page.locator('.vertex', { hasText: 'readings' }).focus()
  await page.keyboard.press('Space')
  await see(tasks())
  await page.keyboard.press('Space')
  await gone(tasks())
  for (const name of ['Savepoint', 'Rescale', 'Restart', 'Stop', 'Cancel']) {
    await button(name).press('Enter')
    await see(dialog())
    await accessible(`the dialog ${name}`)
    for (let i = 0; i < 9; i++) {
      await page.keyboard.press('Tab')
      assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest('dialog')), `the focus has left the dialog ${name}`)
    }
    await page.keyboard.press('Escape')
    await gone(page.locator('dialog'))
    assert.equal(await page.evaluate(() => document.activeElement.textContent), name, 'the focus comes back')
  }
  await running()
}

async function processes() {
  step('logs and goroutines of a taskmanager')
  await at('#/')
  await page.getByRole('region', { name: /^Taskmanagers/ }).getByRole('link').first().click()
  await see(page.locator('.log div', { hasText: 'level=INFO' }))
  await accessible('logs')
  await page.getByLabel('Filter lines').fill('no line is like this')
  await see(page.getByText('no line matches'))
  await page.getByRole('link', { name: 'Goroutines' }).click()
  await see(page.locator('pre.log', { hasText: /goroutine \d+ / }))
  await page.getByLabel('Find in stacks').fill('task.(*Task).Run')
  await see(page.locator('pre.log', { hasText: 'task.(*Task).Run' }))
  await accessible('goroutines')
  step('a flame graph by one click')
  await page.getByRole('link', { name: 'CPU profile' }).click()
  await page.getByLabel('For how long').selectOption('5')
  await button('Record a flame graph').click()
  await see(page.getByRole('status').filter({ hasText: /^Recording/ }))
  await see(page.locator('.flame rect').nth(5))
  await accessible('a flame graph')
  await picture('dashboard-flame')
  await page.locator('.flame g[role=button]').nth(2).focus()
  await page.keyboard.press('Enter')
  await see(button('Show all'))
  await page.keyboard.press('Escape')
  await gone(button('Show all'))
  step('a profile to take away')
  await page.getByLabel('For how long').selectOption('2')
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download a profile' }).click()])
  assert.equal(download.suggestedFilename(), 'cpu.pprof')
  let bytes = Buffer.alloc(0)
  for await (const part of await download.createReadStream()) bytes = Buffer.concat([bytes, part])
  assert.deepEqual([...bytes.subarray(0, 2)], [0x1f, 0x8b], 'a profile is compressed')
  console.log(`@used GET ${new URL(download.url()).pathname}`)
  step('the same of the jobmanager')
  await page.getByRole('link', { name: 'Jobmanager: logs and profiles' }).click()
  await see(page.locator('.log div', { hasText: 'house' }))
  await page.getByRole('link', { name: 'Goroutines' }).click()
  await see(page.locator('pre.log', { hasText: 'jobmanager.' }))
}

async function everyPageOnAPhone(id) {
  step('every page on a phone and in the dark')
  await open({ viewport: phone, colorScheme: 'dark', isMobile: true, hasTouch: true })
  for (const [name, hash, sign] of [
    ['the cluster', '#/', 'house'], ['a job', `#/jobs/${id}`, 'Dataflow'], ['data', `#/jobs/${id}/data`, 'Late rows'], ['checkpoints', `#/jobs/${id}/checkpoints`, 'History'],
    ['exceptions', `#/jobs/${id}/exceptions`, 'Restarts'], ['a script', `#/jobs/${id}/sql`, 'Script'], ['the editor', '#/submit', 'No problem found.'],
    ['logs', '#/taskmanagers/jobmanager', 'level=INFO'], ['goroutines', '#/taskmanagers/jobmanager/goroutines', 'goroutine 1'], ['profiles', '#/taskmanagers/jobmanager/profile', 'Records which'],
  ]) {
    await at(hash)
    await see(page.getByText(sign))
    if (name === 'a job') await see(page.locator('.vertex'))
    if (name === 'checkpoints') await page.getByRole('button', { name: /^More/ }).nth(1).click()
    await accessible(`${name} on a phone`)
    if (name === 'the cluster') await picture('dashboard-phone-cluster')
    if (name === 'a job') {
      await picture('dashboard-phone-job')
      await page.locator('.vertex', { hasText: 'latest' }).tap()
      await see(tasks())
      await accessible('an operator on a phone')
      await button('Rescale').tap()
      await accessible('a dialog on a phone')
      await dialog().getByRole('button', { name: 'Leave it' }).tap()
    }
  }
  await open({ viewport: desktop })
}

async function rescales(id) {
  step('it is rescaled')
  await at(`#/jobs/${id}`)
  await button('Rescale').click()
  await page.getByLabel('Parallelism').fill('1')
  await slowly('**/triggers/*', 1000, async () => {
    await dialog().getByRole('button', { name: 'Rescale' }).click()
    await see(dialog().getByRole('status').getByText('Taking a savepoint and moving state'))
    await see(dialog('The job runs with parallelism 1'), 60_000)
  })
  await dialog().getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.vertex .p', { hasText: '× 1' }))
  await running()
}

async function stops(id) {
  step('it is stopped with a savepoint, and starts again from it')
  await button('Stop').click()
  await slowly('**/triggers/*', 1000, async () => {
    await dialog().getByRole('button', { name: 'Stop the job' }).click()
    await see(dialog().getByRole('status').getByText('Taking the savepoint and stopping'))
    await see(dialog('The job has stopped'))
  })
  await dialog().getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.badge', { hasText: 'finished' }))
  await accessible('a job that has ended')
  await button('Restart').click()
  assert.match(await page.getByLabel('Path of the savepoint').inputValue(), /^file:\/\/\/.*savepoint/)
  await restart(id)
  await drains()
}

// restart confirms the dialog, and waits for the new job.
async function restart(former) {
  await dialog().getByRole('button', { name: 'Restart' }).click()
  await page.waitForURL((url) => /#\/jobs\/[0-9a-f]{32}/.test(url.hash) && !url.hash.includes(former))
  await running()
  return /#\/jobs\/([0-9a-f]+)/.exec(page.url())[1]
}

async function drains() {
  step('it is stopped for good: drained')
  await button('Stop').click()
  await page.getByLabel(/^Drain/).check()
  await dialog().getByRole('button', { name: 'Stop the job' }).click()
  await see(dialog('The job has stopped'))
  await dialog().getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.badge', { hasText: 'finished' }))
}

async function restarts(id, savepoint) {
  step('a job is started from the first savepoint, in the editor')
  await at(`#/jobs/${id}/checkpoints`)
  const more = button(/^Show all/)
  if (await more.count()) await more.click()
  await page.locator('tbody tr', { hasText: 'savepoint' }).last().getByRole('button', { name: /^More/ }).click()
  assert.equal(await page.locator('.command code').first().innerText(), savepoint)
  await page.getByRole('link', { name: 'Start a job from this' }).click()
  await see(page.getByText('No problem found.'))
  assert.equal(await page.getByLabel('From a savepoint').inputValue(), savepoint)
  await button('Submit').click()
  await page.waitForURL((url) => /#\/jobs\/[0-9a-f]{32}/.test(url.hash) && !url.hash.includes(id))
  await running()
  const second = /#\/jobs\/([0-9a-f]+)/.exec(page.url())[1]
  await page.getByRole('link', { name: /^Checkpoints/ }).click()
  await see(page.locator('.summary > div', { hasText: 'Restored' }).getByText('1', { exact: true }))
  step('it is restarted as it is')
  await button('Restart').click()
  await restart(second)
  step('it is cancelled')
  await button('Cancel').click()
  await dialog().getByRole('button', { name: 'Cancel the job' }).click()
  await see(dialog('The job is cancelled'))
  await dialog().getByRole('button', { name: 'Close' }).click()
  await see(page.locator('.badge', { hasText: /cancel/ }))
  assert.equal(await button('Savepoint').count(), 0)
}
