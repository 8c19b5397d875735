// A page of the dashboard in a browser, watched closely: whatever the browser complains of, and every answer that says no, fails the test
// unless it was announced. Started by web_test.go with
//   BASE      where the dashboard is
//   CHROMIUM  the browser's program
//   FAILURE   where a picture of the page goes if something is not as it should be
//   PICTURES  the directory of the documentation's pictures, if they should be taken anew
import { strict as assert } from 'node:assert'
import { mkdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { chromium } from '../../web/node_modules/playwright-core/index.mjs'

export { assert }
export const { BASE, CHROMIUM, FAILURE, PICTURES } = process.env
const axe = readFileSync(new URL('../../web/node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
export const desktop = { width: 1280, height: 800 }
export const phone = { width: 390, height: 844 }

// page is the one in use; open replaces it.
export let page
const complaints = []
// What was announced: patterns of complaints, each as often as it comes.
const announced = []
const began = Date.now()

export const step = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${text}`)
export const see = (locator, timeout = 30_000) => locator.first().waitFor({ state: 'visible', timeout })
export const gone = (locator, timeout = 30_000) => locator.first().waitFor({ state: 'detached', timeout })
export const button = (name, exact = true) => page.getByRole('button', { name, exact })
export const dialog = (name) => page.getByRole('dialog', name ? { name } : {})
export const at = (hash) => page.goto(BASE + '/' + hash)

// allow announces complaints of the browser that belong to what comes: a wrong token is answered with 401, and the browser says so.
export const allow = (pattern) => announced.push(pattern)

// forbid ends what allow began.
export function forbid(pattern) {
  const i = announced.indexOf(pattern)
  assert.ok(i >= 0)
  announced.splice(i, 1)
}

function complain(text) {
  if (!announced.some((p) => p.test(text))) complaints.push(text)
}

// nothingWrong fails if anything that was not announced has come.
export const nothingWrong = () => assert.deepEqual(complaints, [], 'what the browser complained about')
export const complained = () => complaints

// ask has the test around it do something, and waits until it is done.
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
export async function ask(word) {
  console.log('@' + word)
  const { value } = await answers.next()
  assert.equal(value, 'done', `the test was asked to ${word}`)
}

let browser
export async function start() {
  // A container's root may not make the namespaces of Chromium's sandbox; the pages are our own.
  browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
  await open()
}
export const end = () => browser.close()

// open opens a fresh browser, so to speak: no cookies, nothing kept.
export async function open(options = {}) {
  await page?.context().close()
  // Nothing fades in: what does has no contrast yet.
  const context = await browser.newContext({ viewport: desktop, colorScheme: 'light', reducedMotion: 'reduce', acceptDownloads: true, ...options })
  page = await context.newPage()
  page.setDefaultTimeout(30_000)
  page.on('console', (m) => {
    if (['error', 'warning'].includes(m.type())) complain(`${m.type()}: ${m.text()} (${m.location().url})`)
  })
  page.on('pageerror', (e) => complain(`exception: ${e.stack}`))
  page.on('response', (r) => {
    const url = new URL(r.url())
    // A download is over when the browser begins to save it; that it came is seen by who asked for it.
    if (url.pathname.startsWith('/api/v1/') && r.ok()) console.log(`@used ${r.request().method()} ${url.pathname}`)
    else if (r.status() >= 400) complain(`answer: ${r.status()} ${r.request().method()} ${url.pathname}`)
  })
  page.on('requestfailed', (r) => {
    // Streams end when a page leaves them.
    if (r.failure()?.errorText !== 'net::ERR_ABORTED') complain(`request: ${r.failure()?.errorText} ${r.url()}`)
  })
  page.on('dialog', (d) => complain(`dialog: ${d.message()}`))
}

// accessible runs axe, and looks whether the page is wider than the screen.
export async function accessible(what) {
  // What was clicked last is drawn.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
  await page.evaluate(`window.axe || (() => { ${axe} })()`)
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ''}`).slice(0, 5).join(' | ')}`), [], `accessibility of ${what}`)
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.equal(over, 0, `${what} is ${over} px wider than the screen`)
}

export async function picture(name) {
  if (!PICTURES) return
  mkdirSync(PICTURES, { recursive: true })
  // Nothing looks as if it were pointed at, but for what is.
  if (!name.includes('typo')) await page.mouse.move(2, 400)
  await page.screenshot({ path: `${PICTURES}/${name}.png` })
}

// write replaces what is in the editor.
export async function write(text) {
  await page.locator('.cm-content').click()
  await page.keyboard.press('Control+A')
  await page.keyboard.insertText(text)
}

// slowly has the answers to a path take some time, so that what a page shows meanwhile can be seen.
export async function slowly(path, ms, f) {
  await page.route(path, async (route) => {
    await new Promise((resolve) => setTimeout(resolve, ms))
    await route.continue()
  })
  await f()
  await page.unroute(path, { behavior: 'wait' }).catch(() => page.unroute(path))
}

// walk goes through the page with the Tab key from its beginning to its end. All that can be operated is reached, in the order of the page, and seen to
// have the focus. It returns what was reached, in words.
export async function walk(what) {
  await page.evaluate(() => {
    // From the beginning, wherever something was clicked before.
    document.body.tabIndex = -1
    document.body.focus()
    document.body.removeAttribute('tabindex')
    scrollTo(0, 0)
  })
  const wanted = await page.evaluate(() => {
    window.operable = 'a[href], button, input, select, textarea, summary, [tabindex="0"], [contenteditable=true]'
    const all = [...document.querySelectorAll(window.operable)]
    window.wanted = all.filter((e) => !e.disabled && e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }) && !e.closest('[inert]'))
    return window.wanted.length
  })
  const reached = []
  for (let i = 0; i < wanted + 15; i++) {
    await page.keyboard.press('Tab')
    const now = await page.evaluate(async () => {
      // A style that came with the focus is there with the next picture.
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
      const e = document.activeElement
      if (!e || e === document.body) return null
      const style = getComputedStyle(e)
      const ringed = (s) => (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none'
      const box = e.getBoundingClientRect()
      const name = (e.getAttribute('aria-label') || e.textContent || e.placeholder || e.tagName).trim().replace(/\s+/g, ' ').slice(0, 40)
      return {
        index: window.wanted.indexOf(e), operable: e.matches(window.operable), name: `${e.tagName.toLowerCase()} ${name}`,
        // The editor shows its frame; a bar of the flame graph its edge.
        ringed: e.matches('.cm-content') || (e.closest('svg') && ringed(style)) || ringed(style),
        where: `${JSON.stringify(box)} of ${innerWidth} x ${innerHeight}, scrolled to ${scrollX}, ${scrollY}`,
        seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
      }
    })
    if (!now) break
    // What has come meanwhile, such as a checkpoint.
    if (now.index < 0 && now.operable) continue
    if (reached.some((r) => r.index === now.index)) break
    assert.ok(now.index >= 0, `${what}: ${now.name} has the focus, which was not expected`)
    assert.ok(now.ringed, `${what}: nothing shows that ${now.name} has the focus`)
    assert.ok(now.seen, `${what}: ${now.name} has the focus out of sight: ${now.where}`)
    reached.push(now)
    // The editor keeps Tab for itself.
    if (now.name.includes('SQL script')) await page.keyboard.press('Escape')
  }
  const order = reached.map((r) => r.index)
  assert.deepEqual(order, [...order].sort((a, b) => a - b), `${what}: the order of Tab`)
  const missed = await page.evaluate((got) => window.wanted.filter((e, i) => e.isConnected && !got.includes(i)).map((e) => e.outerHTML.slice(0, 120)), order)
  assert.deepEqual(missed, [], `${what}: out of the keyboard's reach`)
  return reached.map((r) => r.name)
}
