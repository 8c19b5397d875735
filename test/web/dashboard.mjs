// What a person does with the dashboard, in a real browser: node dashboard.mjs SCENARIO, started by web_test.go; see page.mjs for its environment.
// A line "@word" asks the test around it for something, or tells it that a part of the API was used.
import { BASE, CHROMIUM, FAILURE, complained, end, nothingWrong, page, start, step } from './page.mjs'
import { job, pages } from './job.mjs'
import { editor } from './submit.mjs'
import { empty, gone, readonly, standby, token } from './access.mjs'
import { trouble } from './trouble.mjs'

const scenarios = { job, pages, editor, trouble, empty, token, readonly, gone, standby }
const name = process.argv[2]
if (!scenarios[name] || !BASE || !CHROMIUM) {
  console.error(`usage: BASE=http://HOST:PORT CHROMIUM=PROGRAM node dashboard.mjs ${Object.keys(scenarios).join('|')}`)
  process.exit(2)
}
await start()
try {
  await scenarios[name]()
  nothingWrong()
  step('as it should be')
} catch (e) {
  console.error(e)
  for (const c of complained()) console.error(c)
  if (FAILURE) {
    await page.screenshot({ path: FAILURE }).catch(() => {})
    console.error(`the page as it was: ${FAILURE}`)
  }
  process.exitCode = 1
} finally {
  await end()
}
// What waits for words of the test around it would keep the program.
process.exit()
