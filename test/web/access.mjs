// Who may look and change, and jobmanagers that are not there, or do not lead.
import { accessible, allow, ask, assert, at, button, forbid, gone as away, open, page, phone, see, step, walk, write, BASE } from './page.mjs'

export async function empty() {
  step('an empty cluster says what to do')
  await at('')
  await see(page.getByText(/^taskmanager --jobmanager 127\.0\.0\.1:\d+$/))
  await see(page.getByText(/^bramble submit /))
  await accessible('an empty cluster')
  await walk('an empty cluster')
  step('what is not there is named')
  const missing = /status of 404|answer: 404 GET \/api\/v1\/(jobs\/0|taskmanagers\/nobody)/
  allow(missing)
  await at('#/jobs/00000000000000000000000000000000')
  await see(page.getByText('There is no such job'))
  await accessible('no such job')
  await at('#/taskmanagers/nobody')
  await see(page.getByText('This taskmanager is not registered any more'))
  await see(page.getByRole('alert'))
  await accessible('no such taskmanager')
  await at('#/')
  await see(page.getByText('No job yet'))
  forbid(missing)
  await at('#/nowhere')
  await see(page.getByText('There is no such page'))
  await accessible('no such page')
  step('on a phone, in the dark')
  await open({ viewport: phone, colorScheme: 'dark', isMobile: true, hasTouch: true })
  await at('')
  await see(page.getByText(/^taskmanager --jobmanager 127\.0\.0\.1:\d+$/))
  await accessible('an empty cluster on a phone')
}

export async function token() {
  step('a token is asked for')
  await at('')
  await see(page.getByLabel('Token'))
  await accessible('signing in')
  await walk('signing in')
  const refused = /status of 401|answer: 401/
  allow(refused)
  await page.getByLabel('Token').fill('not-the-token')
  await button('Sign in').click()
  await see(page.getByText('That is not the token'))
  await accessible('a wrong token')
  await page.getByLabel('Token').fill(process.env.TOKEN)
  await page.keyboard.press('Enter')
  await see(page.getByText('No taskmanager is registered'))
  step('a session that has expired is asked for the token again, and the page goes on where it was')
  await at('#/taskmanagers/jobmanager')
  await see(page.locator('.log div', { hasText: 'level=INFO' }))
  await page.context().clearCookies()
  await see(page.getByLabel('Token'))
  await page.getByLabel('Token').fill(process.env.TOKEN)
  await button('Sign in').click()
  await see(page.locator('.log div', { hasText: 'level=INFO' }))
  step('signed out')
  await at('#/')
  await see(page.getByText('No taskmanager is registered'))
  await button('Sign out').click()
  await see(page.getByLabel('Token'))
  forbid(refused)
}

export async function readonly() {
  step('nothing can be changed, and it says why')
  await at('')
  await see(page.getByText('No job yet'))
  await see(page.getByText('read-only', { exact: true }))
  assert.equal(await page.getByRole('link', { name: 'Submit a job' }).count(), 0)
  await at('#/submit')
  await see(page.getByText(/http-read-only/))
  await see(page.getByText('No problem found.'))
  assert.ok(await button('Submit').isDisabled())
  assert.ok(await button('Preview').first().isDisabled())
  await button('Preview').last().click()
  assert.ok(await button('Run').isDisabled())
  await accessible('a read-only editor')
  await walk('a read-only editor')
  step('nor by who does not ask the page')
  const refused = /status of 403|answer: 403 POST \/api\/v1\/jobs/
  allow(refused)
  assert.equal(await page.evaluate(async () => (await fetch('api/v1/jobs', { method: 'POST', body: '{"script":""}' })).status), 403)
  forbid(refused)
}

const script = `SET 'pipeline.name' = 'lasting';
CREATE TABLE r (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = '100', 'fields.a.min' = '1', 'fields.a.max' = '9');
CREATE TABLE s (a INT, n BIGINT, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'blackhole');
SET 'execution.checkpointing.interval' = '1 s';
INSERT INTO s SELECT a, COUNT(*) FROM r GROUP BY a;
`

// gone has the jobmanager killed under open pages, and started again.
export async function gone() {
  await at('#/submit')
  await see(page.locator('.cm-content'))
  await write(script)
  await see(page.getByText('No problem found.'))
  await button('Submit').click()
  await page.waitForURL(/#\/jobs\/[0-9a-f]{32}/)
  const job = new URL(page.url()).hash
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  await page.getByRole('link', { name: /^Checkpoints/ }).click()
  await see(page.locator('tbody tr', { hasText: 'completed' }))
  await page.getByRole('link', { name: 'Overview', exact: true }).click()
  await page.evaluate(() => (window.same = true))
  step('the jobmanager is killed: the page says so')
  const lost = /ERR_|answer: 503|status of 503/
  allow(lost)
  await ask('kill')
  await see(page.getByRole('alert').filter({ hasText: 'Disconnected' }))
  await see(page.getByText(/Last heard .* trying again/))
  await see(page.locator('.stale'))
  await accessible('a lost connection')
  await at('#/')
  await see(page.getByRole('alert').filter({ hasText: 'Disconnected' }))
  await at('#/taskmanagers/jobmanager')
  await see(page.getByRole('alert').filter({ hasText: 'does not answer' }))
  await at('#/submit')
  await see(page.getByText('It cannot be checked: the jobmanager does not answer'))
  await button('Submit').click()
  await see(page.getByRole('alert').filter({ hasText: 'does not answer' }))
  step('it comes back: the page goes on by itself')
  await ask('start')
  await see(page.getByText('No problem found.'))
  await at('#/taskmanagers/jobmanager')
  await see(page.locator('.log div', { hasText: 'level=INFO' }))
  await at(job)
  await see(page.getByText('Live', { exact: true }))
  await away(page.getByRole('alert'))
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  await page.waitForTimeout(500)
  forbid(lost)
  await see(page.locator('.edge-label', { hasText: /[1-9][\d.]*\/s/ }))
  assert.ok(await page.evaluate(() => window.same), 'the page was loaded anew')
  step('away once more, while the job is looked at')
  allow(lost)
  await ask('kill')
  await see(page.getByRole('alert').filter({ hasText: 'Disconnected' }))
  await ask('start')
  await button('Try now').click({ timeout: 3000 }).catch(() => {})
  await see(page.getByText('Live', { exact: true }))
  await away(page.getByRole('alert'))
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  assert.ok(await page.evaluate(() => window.same), 'the page was loaded anew')
  forbid(lost)
}

// standby begins at a jobmanager that does not lead.
export async function standby() {
  const { LEADER } = process.env
  step('a standby says who leads, and leads there')
  const refused = /status of 503|answer: 503/
  allow(refused)
  const answer = await at('')
  assert.equal(answer.status(), 503)
  await see(page.getByText(/This jobmanager stands by/))
  const link = page.getByRole('link')
  // The leader tells where its dashboard is as soon as it knows of the standby; the page asks again by itself.
  await see(link)
  await accessible('a standby')
  assert.equal(await link.getAttribute('href'), LEADER + '/')
  await link.click()
  await see(page.getByText('No taskmanager is registered'))
  assert.ok(page.url().startsWith(LEADER))
  step('the leader leaves: the standby leads, and its page becomes the dashboard')
  await at('')
  await see(page.getByText(/This jobmanager stands by/))
  await ask('leave')
  await see(page.getByText('No taskmanager is registered'), 60_000)
  assert.ok(page.url().startsWith(BASE))
  forbid(refused)
}
