import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as f from '../src/format.ts'

// As written, with ordinary spaces.
const plain = (s: string) => s.replace(/[\u00a0\u202f]/g, ' ')
const table = (name: string, fn: (n: number | null) => string, cases: [number | null, string][]) =>
  test(name, () => {
    for (const [n, want] of cases) assert.equal(plain(fn(n)), want, String(n))
  })

table('count', f.count, [[null, '–'], [0, '0'], [7, '7'], [9999, '9 999'], [12_340, '12.3 k'], [999_400, '999 k'], [999_960, '1.0 M'], [4_600_000, '4.6 M'], [-20_000, '-20 k']])
table('whole', f.whole, [[0, '0'], [1234567, '1 234 567'], [null, '–']])
table('rate', f.rate, [[null, '–'], [0, '0/s'], [0.001, '<0.01/s'], [0.3, '0.30/s'], [3.21, '3.2/s'], [42, '42/s'], [1234, '1.2 k/s'], [999.7, '1.0 k/s'], [1_250_000, '1.3 M/s'], [NaN, '–']])
table('bytes', f.bytes, [[null, '–'], [0, '0 B'], [1023, '1023 B'], [1024, '1 KiB'], [3_565_158, '3.4 MiB'], [268_435_456, '256 MiB'], [5e12, '4.5 TiB']])
table('percent', f.percent, [[null, '–'], [0, '0 %'], [0.0002, '<0.1 %'], [0.004, '0.4 %'], [0.371, '37 %'], [1, '100 %']])
table('duration', f.duration, [[null, '–'], [0, '0 ms'], [0.95, '0.9 ms'], [3, '3 ms'], [12.4, '12 ms'], [340, '340 ms'], [999.6, '1.0 s'], [2400, '2.4 s'], [59_949, '60 s'], [123_000, '2 m 3 s'], [120_000, '2 m'], [3_600_000, '1 h'], [7_380_000, '2 h 3 m'], [100_800_000, '1 d 4 h'], [-500, '-500 ms']])
table('setting', f.setting, [[3000, '3 s'], [2500, '2.5 s'], [60_000, '1 m'], [null, '–']])
table('uptime', f.uptime, [[1999, '1 s'], [61_999, '1 m 1 s'], [-5, '0 s']])
table('celsius', f.celsius, [[48.2, '48 °C'], [null, '–']])

test('event time is UTC, with an end', () => {
  assert.equal(f.watermark(1_795_289_579_123), '2026-11-21 19:32:59.123')
  assert.equal(f.watermark(9e18), 'end of input')
  assert.equal(f.watermark(-9e18), '–')
})

test('ago', () => {
  assert.deepEqual([0, 12_000, 200_000, 7_200_000, 200_000_000].map((ms) => plain(f.ago(1e12 - ms, 1e12))), ['now', '12 s ago', '3 m ago', '2 h ago', '2 d ago'])
})

test('cells', () => {
  assert.deepEqual([null, 'x', 1.5, true, [1], { a: 1 }].map(f.cell), ['NULL', 'x', '1.5', 'true', '[1]', '{"a":1}'])
})

test('ticks reach the largest value in round steps', () => {
  assert.deepEqual(f.ticks(0), [0, 1])
  assert.deepEqual(f.ticks(10), [0, 5, 10])
  for (const max of [0.003, 1, 7, 99, 1234, 5e9]) {
    const t = f.ticks(max)
    assert.ok(t[t.length - 1]! >= max * (1 - 1e-9) && t.length <= 5, `${max}: ${t.join()}`)
  }
})
