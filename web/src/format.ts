// How numbers, times and sizes are written. Everything takes null for unknown and writes an en dash for it: a column never jumps because
// a value came or went. A no-break space stands between a number and its unit.

export const unknown = '–'
const nbsp = '\u00a0'

type Maybe = number | null | undefined

const known = (n: Maybe): n is number => typeof n === 'number' && Number.isFinite(n)

// three writes n with about three digits: 0.12, 1.2, 12, 123.
function three(n: number): string {
  const a = Math.abs(n)
  if (a >= 99.95) return n.toFixed(0)
  if (a >= 9.95) return Number.isInteger(n) ? n.toFixed(0) : n.toFixed(1)
  if (Number.isInteger(n)) return n.toFixed(0)
  return a >= 0.995 ? n.toFixed(1) : n.toFixed(2)
}

function scaled(n: number, base: number, units: readonly string[]): [number, string] {
  let i = 0
  // 999.5 would be written as 1000: it belongs to the next unit.
  while (i < units.length - 1 && Math.abs(n) >= base - base / 2000) {
    n /= base
    i++
  }
  return [n, units[i]!]
}

// count is a number of things, whole below ten thousand: 0, 9 999, 12.3 k, 4.6 M.
export function count(n: Maybe): string {
  if (!known(n)) return unknown
  if (Math.abs(n) < 10_000) return whole(n)
  const [v, unit] = scaled(n, 1000, ['', 'k', 'M', 'G', 'T'])
  return three(v) + (unit && nbsp + unit)
}

// whole is every digit, in groups of three: 1 234 567.
export function whole(n: Maybe): string {
  if (!known(n)) return unknown
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f')
}

// rate is per second: 0/s, 0.3/s, 1.2 k/s.
export function rate(n: Maybe): string {
  if (!known(n)) return unknown
  if (n === 0) return '0/s'
  if (n < 0.005) return '<0.01/s'
  const [v, unit] = scaled(n, 1000, ['', 'k', 'M', 'G'])
  return three(v) + (unit ? nbsp + unit : '') + '/s'
}

// bytes is a size: 0 B, 3.4 MiB.
export function bytes(n: Maybe): string {
  if (!known(n)) return unknown
  const [v, unit] = scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB'])
  return three(v) + nbsp + unit
}

// percent is a ratio of 0 to 1: 0 %, 0.4 %, 37 %.
export function percent(ratio: Maybe): string {
  if (!known(ratio)) return unknown
  const p = ratio * 100
  if (p > 0 && p < 0.95) return (p < 0.05 ? '<0.1' : p.toFixed(1)) + nbsp + '%'
  return p.toFixed(0) + nbsp + '%'
}

// duration is of milliseconds, by its two largest units: 340 ms, 2.4 s, 2 m 3 s, 1 d 4 h.
export function duration(ms: Maybe): string {
  if (!known(ms)) return unknown
  if (ms < 0) return '-' + duration(-ms)
  if (ms < 9.95 && !Number.isInteger(ms)) return ms.toFixed(1) + nbsp + 'ms'
  if (ms < 999.5) return Math.round(ms) + nbsp + 'ms'
  if (ms < 59_950) return (ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000).toFixed(0)) + nbsp + 's'
  const s = Math.round(ms / 1000)
  const two = (a: number, ua: string, b: number, ub: string) => `${a}${nbsp}${ua}` + (b ? ` ${b}${nbsp}${ub}` : '')
  if (s < 3600) return two(Math.floor(s / 60), 'm', s % 60, 's')
  const m = Math.floor(s / 60)
  if (m < 24 * 60) return two(Math.floor(m / 60), 'h', m % 60, 'm')
  const h = Math.floor(m / 60)
  return two(Math.floor(h / 24), 'd', h % 24, 'h')
}

// setting is a duration that someone chose: 3 s, not 3.0 s.
export function setting(ms: Maybe): string {
  return known(ms) && ms > 0 && ms < 60_000 && ms % 1000 === 0 ? ms / 1000 + nbsp + 's' : duration(ms)
}

// uptime is a duration that never shows fractions, which would flicker.
export function uptime(ms: Maybe): string {
  if (!known(ms)) return unknown
  return ms < 60_000 ? Math.max(0, Math.floor(ms / 1000)) + nbsp + 's' : duration(Math.floor(ms / 1000) * 1000)
}

// celsius is a temperature: 48 °C.
export function celsius(n: Maybe): string {
  return known(n) ? n.toFixed(0) + nbsp + '°C' : unknown
}

const pad = (n: number, width = 2) => String(n).padStart(width, '0')

// clock is the local time of day: 14:03:22.
export function clock(ms: Maybe): string {
  if (!known(ms)) return unknown
  const d = new Date(ms)
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`
}

// dateTime is local: the time alone for today, else 2026-11-21 14:03:22.
export function dateTime(ms: Maybe, now = Date.now()): string {
  if (!known(ms)) return unknown
  const d = new Date(ms)
  if (d.toDateString() === new Date(now).toDateString()) return clock(ms)
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${clock(ms)}`
}

// watermark is an event time, in UTC as SQL prints it, with milliseconds; beyond any calendar is the end of the input.
export function watermark(ms: Maybe): string {
  if (!known(ms)) return unknown
  if (ms > 8.64e15) return 'end of input'
  if (ms < -8.64e15) return unknown
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', '')
}

// ago is how long a moment is past: now, 12 s ago, 3 m ago.
export function ago(ms: Maybe, now = Date.now()): string {
  if (!known(ms)) return unknown
  const past = now - ms
  if (past < 1500) return 'now'
  const s = Math.floor(past / 1000)
  if (s < 60) return `${s}${nbsp}s ago`
  if (s < 3600) return `${Math.floor(s / 60)}${nbsp}m ago`
  if (s < 86_400) return `${Math.floor(s / 3600)}${nbsp}h ago`
  return `${Math.floor(s / 86_400)}${nbsp}d ago`
}

// plural is "1 job", "3 jobs".
export function plural(n: number, one: string, many = one + 's'): string {
  return `${whole(n)} ${n === 1 ? one : many}`
}

// cell is a value of a row as the tables show it; text is shown as it is, everything else as JSON.
export function cell(v: unknown): string {
  if (v === null || v === undefined) return 'NULL'
  if (typeof v === 'string') return v
  if (typeof v === 'number') return String(v)
  return JSON.stringify(v)
}

// ticks are round values from 0 to at least max, at most n steps.
export function ticks(max: number, n = 3): number[] {
  if (!(max > 0) || !Number.isFinite(max)) return [0, 1]
  const raw = max / n
  const mag = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((m) => m * mag).find((s) => s >= raw - 1e-12)!
  const out = [0]
  while (out[out.length - 1]! < max - 1e-9 * max) out.push(step * out.length)
  return out
}
