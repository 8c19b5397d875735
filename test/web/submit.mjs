// The editor: errors under what they are about, completion, the plan before anything runs, examples, previews, and what is submitted in the end.
import { PICTURES, accessible, assert, at, button, page, picture, see, step, write } from './page.mjs'

// Enough to be seen in a profile of five seconds; pictures show a job that has something to do.
// Enough that a profile of seconds has samples on a quiet machine too.
const rows = PICTURES ? 300_000 : 200_000

// Most readings are of sensor 1: its task has more to do.
export const script = `SET 'pipeline.name' = 'house';
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
SELECT GREATEST(sensor - 40, 0), LAST_VALUE(temperature), COUNT(*)
FROM readings
GROUP BY GREATEST(sensor - 40, 0);
`

const noProblem = () => see(page.getByText('No problem found.'))

export async function toEditor() {
  await at('#/submit')
  await see(page.locator('.cm-content'))
}

export async function editor() {
  await toEditor()
  await typo()
  await plan()
  await completes()
  await examples()
  await previews()
  await variables()
}

async function typo() {
  step('a typo is underlined where it is')
  await write(script.replace('AVG(temperature)', 'AVG(temprature)'))
  const wrong = page.locator('.cm-lintRange-error')
  await see(wrong)
  assert.equal(await wrong.first().innerText(), 'temprature')
  await see(page.getByText('1 problem'))
  const problem = page.locator('.problems button')
  const before = script.slice(0, script.indexOf('temperature)\nFROM')).split('\n')
  assert.match(await problem.innerText(), new RegExp(`^${before.length}:${before.at(-1).length + 1}\\s[^]*temprature[^]*did you mean[^]*temperature`))
  await wrong.hover()
  await see(page.locator('.cm-diagnostic'))
  await picture('dashboard-typo')
  await page.mouse.move(10, 10)
  await accessible('the editor with an error')
  step('the list of problems leads there')
  await page.keyboard.press('Control+Home')
  await problem.click()
  await page.keyboard.press('Control+Shift+ArrowRight')
  assert.equal(await page.evaluate(() => getSelection().toString()), 'temprature')
}

async function plan() {
  step('the plan is drawn when it is right')
  await write(script)
  await noProblem()
  assert.equal(await page.locator('.cm-lintRange-error').count(), 0)
  await see(page.locator('.vertex', { hasText: 'averages' }))
  assert.equal(await page.locator('.vertex').count(), 3)
  await button('Explain').click()
  await see(page.getByRole('region', { name: 'Plan as text' }).getByText(/GroupAggregate/))
  await button('Plan').click()
  await page.getByText('Options: name').click()
  await accessible('the editor and its options')
  await page.getByText('Options: name').click()
}

// offered asks for completions behind text, and expects one; it takes it and returns the line.
async function offered(text, label, kind) {
  await write(script + text)
  await page.keyboard.press('Control+Space')
  const item = page.locator('.cm-tooltip-autocomplete li', { has: page.getByText(label, { exact: true }) })
  await see(item)
  assert.ok(kind.test(await item.innerText()), `${label}: ${await item.innerText()}`)
  // The editor takes a key right after the list appears for typing that goes on.
  await page.waitForTimeout(150)
  return item
}

async function completes() {
  step('tables, columns, functions and options are completed')
  await offered('\nSELECT temp', 'temperature', /DOUBLE/)
  await picture('dashboard-completion')
  await page.keyboard.press('Escape')
  await offered('\nSELECT * FROM rea', 'readings', /table/i)
  await page.keyboard.press('Enter')
  assert.match(await page.locator('.cm-line').last().innerText(), /^SELECT \* FROM readings$/)
  await offered("\nCREATE TABLE more (a INT) WITH ('connector' = 'datagen', 'rows", 'rows-per-second', /./)
  await page.keyboard.press('Escape')
  await offered("\nCREATE TABLE more (a INT) WITH ('connector' = '", 'mqtt', /source and sink/)
  await page.keyboard.press('Escape')
  const item = await offered('\nSELECT COUN', 'COUNT', /./)
  await item.click()
  assert.match(await page.locator('.cm-line').last().innerText(), /^SELECT COUNT\(/)
}

async function examples() {
  step('each example can be planned')
  const choice = page.getByLabel('Start from an example')
  const titles = (await choice.locator('option').allInnerTexts()).slice(1)
  assert.ok(titles.length >= 3, titles.join())
  for (const title of titles) {
    await choice.selectOption(title)
    await page.waitForFunction(() => /CREATE TABLE/.test(document.querySelector('.cm-content').innerText))
    await noProblem()
    await see(page.locator('.vertex.still'))
  }
}

async function previews() {
  step('a query without a sink shows its first rows, to the last digit')
  await write(`CREATE TABLE numbers (n BIGINT, name STRING) WITH (
  'connector' = 'datagen', 'rows-per-second' = '100',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '9007199254740991', 'fields.n.end' = '9007199254740997'
);
SELECT n, -n AS below, CAST(n AS DECIMAL(30, 10)) AS exact FROM numbers;`)
  await noProblem()
  await button('Preview').first().click()
  await see(page.getByText('7 rows; the input has ended'))
  const cells = await page.locator('table.data tbody tr').evaluateAll((trs) => trs.map((tr) => [...tr.cells].map((c) => c.innerText)))
  for (let i = 0; i < 7; i++) {
    const n = String(9007199254740991n + BigInt(i))
    assert.ok(cells.some((c) => c[0] === n && c[1] === '-' + n && c[2] === n + '.0000000000'), `${n} in ${JSON.stringify(cells)}`)
  }
  step('a preview is stopped, and one that fails says why')
  await write(script.slice(0, script.indexOf('CREATE TABLE averages')) + 'SELECT sensor, temperature, ts FROM readings WHERE sensor < 10;')
  await noProblem()
  await button('Run').click()
  await see(page.locator('table.data th', { hasText: 'temperature' }))
  await see(page.locator('table.data tbody tr').nth(9))
  await accessible('a preview')
  await picture('dashboard-preview')
  if (await button('Stop').isVisible()) await button('Stop').click({ timeout: 2000 }).catch(() => {})
  await see(page.getByText(/^\d+ rows; (stopped|enough rows)$/))
  await write("CREATE TABLE t (a INT, b INT) WITH ('connector' = 'datagen', 'fields.b.min' = '0', 'fields.b.max' = '0');\nSELECT a / b FROM t;")
  await noProblem()
  await button('Run').click()
  await see(page.getByRole('alert').filter({ hasText: 'division by zero' }))
}

async function variables() {
  step('variables are put into the script, and it is checked again')
  await write(script.replace("'50'", "'${MOST}'"))
  await see(page.getByText(/\d+ problem/))
  await page.getByText('Options: name').click()
  await page.getByLabel(/^Variables/).fill('MOST=50')
  await noProblem()
  await page.getByLabel(/^Variables/).fill('')
  await see(page.getByText(/\d+ problem/))
  await page.getByText('Options: name').click()
}

export async function submits() {
  step('submitted, it runs: graph, rates')
  await write(script)
  await noProblem()
  await page.keyboard.press('Control+Enter')
  await page.waitForURL(/#\/jobs\/[0-9a-f]{32}/)
  await see(page.locator('.badge.ok', { hasText: 'running' }))
  await see(page.locator('.vertex', { hasText: 'readings' }))
  await see(page.locator('.edge-label', { hasText: /[1-9][\d.]*(\s?k)?\/s/ }))
  return /#\/jobs\/([0-9a-f]+)/.exec(page.url())[1]
}
