// What goes wrong: a job that fails, and records that are late or cannot be understood.
import { accessible, ask, assert, at, button, open, page, phone, picture, see, step, write } from './page.mjs'

const failing = `SET 'pipeline.name' = 'brittle';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '2';
SET 'restart-strategy.fixed-delay.delay' = '1 s';

CREATE TABLE numbers (a INT, b INT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '20', 'fields.b.min' = '0', 'fields.b.max' = '20'
);
CREATE TABLE quotients (q INT) WITH ('connector' = 'blackhole');

INSERT INTO quotients
SELECT a / b FROM numbers;
`

const reading = `SET 'pipeline.name' = 'files';
CREATE TABLE readings (
  sensor STRING,
  reading BIGINT,
  ts TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'readings', 'format' = 'json', 'source.monitor-interval' = '200 ms');
CREATE TABLE most (sensor STRING, window_end TIMESTAMP(3), reading BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO most
SELECT sensor, window_end, MAX(reading)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY sensor, window_start, window_end;
`

async function submit(script) {
  await at('#/submit')
  await see(page.locator('.cm-content'))
  await write(script)
  await see(page.getByText('No problem found.'))
  await button('Submit').click()
  await page.waitForURL(/#\/jobs\/[0-9a-f]{32}/)
  return /#\/jobs\/([0-9a-f]+)/.exec(page.url())[1]
}

export async function trouble() {
  const failed = await fails()
  const files = await rejects()
  step('the same on a phone, in the dark')
  await open({ viewport: phone, colorScheme: 'dark', isMobile: true, hasTouch: true })
  await at(`#/jobs/${failed}/exceptions`)
  await see(page.locator('.exception').nth(2))
  await accessible('exceptions on a phone')
  await at(`#/jobs/${files}/data`)
  await see(page.getByText('Bad records'))
  await see(page.getByText('no JSON at all'))
  await accessible('rejected records on a phone')
}

async function fails() {
  step('a job fails, is started again, and fails for good')
  const id = await submit(failing)
  await see(page.locator('.badge', { hasText: 'restarting' }))
  await see(page.locator('.badge.bad', { hasText: 'failed' }))
  await see(page.locator('.notice.bad', { hasText: 'It failed' }).getByText(/division by zero.*2 restarts were allowed/))
  await see(page.locator('.summary > div', { hasText: 'Restarts' }).getByText('2', { exact: true }))
  await accessible('a job that failed')
  step('its operator has the last error')
  await page.locator('.vertex').click()
  await see(page.getByRole('table', { name: 'Tasks of this vertex' }).locator('.badge.bad', { hasText: 'failed' }))
  await see(page.getByRole('table', { name: 'Tasks of this vertex' }).getByText(/division by zero/))
  step('exceptions: the root first, where it was, and the history of restarts')
  await page.getByRole('link', { name: /^Exceptions\s*3/ }).click()
  await see(page.locator('.exception').nth(2))
  for (const text of await page.locator('.exception').allInnerTexts()) {
    assert.match(text, /^12:\d+: division by zero/)
    assert.match(text, /line 12/)
  }
  const restarts = page.getByRole('group', { name: 'Restarts', exact: true }).locator('tbody tr')
  assert.equal(await restarts.count(), 2)
  assert.match(await restarts.first().innerText(), /\d\d:\d\d:\d\d\s+12:\d+: division by zero/)
  await accessible('exceptions')
  await picture('dashboard-exceptions')
  await page.locator('.exception').first().getByRole('link', { name: 'line 12' }).click()
  await see(page.getByRole('heading', { name: 'Script' }))
  step('the process that ran it has logged it')
  await at(`#/jobs/${id}/exceptions`)
  await page.locator('.exception').first().getByRole('link').last().click()
  await see(page.locator('.log .warning, .log .error', { hasText: 'division by zero' }))
  return id
}

async function rejects() {
  step('records that are bad or late are shown with the reason')
  const id = await submit(reading)
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  for (let i = 0; i < 4; i++) {
    await ask('records')
    await page.waitForTimeout(400)
  }
  await see(page.locator('.summary > div', { hasText: 'Late / bad' }).getByText('6', { exact: true }))
  await see(page.locator('.vertex .marks .warn', { hasText: '3 late' }))
  await see(page.locator('.vertex .marks .bad', { hasText: '6 bad' }))
  await page.getByRole('link', { name: /^Data\s*9/ }).click()
  const bad = page.getByRole('group', { name: 'Bad records' })
  const late = page.getByRole('group', { name: 'Late rows' })
  await see(bad.locator('tbody tr').nth(5))
  await see(late.locator('tbody tr').nth(2))
  const [first, second] = await bad.locator('tbody tr').allInnerTexts()
  assert.match(first, /\d\d:\d\d:\d\d\s+Source: readings\s+.*4\.json.*JSON.*\s+no JSON at all/)
  assert.match(second, /\.json.*reading.*\{"sensor":"attic"/s)
  assert.ok(!(await bad.innerText()).includes('hunter2'), 'a password is shown')
  // The number has more digits than a browser's numbers hold.
  assert.match((await late.locator('tbody tr').allInnerTexts())[0], /watermark was at 2026-11-22 10:00:\d\d[^]*9007199254740993/)
  await accessible('rejected records')
  await picture('dashboard-data')
  return id
}
