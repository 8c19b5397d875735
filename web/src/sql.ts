// Colours for SQL, line by line: the editor and the shown scripts share it. It knows no grammar; what is wrong is the planner's to say.

export type Token = 'keyword' | 'string' | 'number' | 'comment' | 'function' | 'variable' | ''

// State is what a line begins in: inside a block comment, a string or a quoted name.
export type State = '' | '/*' | "'" | '`'

const keywords = new Set(
  `ADD ALL ALTER AND ANTI ANY AS ASC ASYMMETRIC BEGIN BETWEEN BY CASE CAST COLUMN COMMENT CONSTRAINT CREATE CROSS CURRENT DESC DESCRIPTOR
  DISTINCT DISTRIBUTED DROP ELSE EMPTY EMIT END ENFORCED ESCAPE EXCEPT EXECUTE EXISTS EXPLAIN FALSE FETCH FILTER FIRST FOLLOWING FOR FROM
  FULL FUNCTION GROUP GROUPING HAVING IF IN INNER INSERT INTERSECT INTERVAL INTO IS JOIN KEY LAST LATERAL LEFT LIKE LIMIT MATCH_RECOGNIZE
  MEASURES METADATA NATURAL NOT NULL NULLS OF OFFSET ON OR ORDER OUTER OVER OVERWRITE PARTITION PARTITIONED PATTERN DEFINE PRECEDING PRIMARY RANGE RESET
  RIGHT ROW ROWS SELECT SEMI SET SETS SHOW SIMILAR STATEMENT SYSTEM_TIME TABLE TEMPORARY THEN TO TRUE UNBOUNDED UNION UNIQUE UNNEST USING
  VALUES VIEW VIRTUAL WATERMARK WHEN WHERE WINDOW WITH WITHIN YEAR MONTH DAY HOUR MINUTE SECOND YEARS MONTHS DAYS HOURS MINUTES SECONDS
  BIGINT BINARY BOOLEAN BYTES CHAR DATE DECIMAL DOUBLE FLOAT INT INTEGER ARRAY MAP MULTISET NUMERIC PRECISION REAL SMALLINT STRING TIME
  TIMESTAMP TIMESTAMP_LTZ TINYINT VARBINARY VARCHAR ZONE WITHOUT LOCAL`.split(/\s+/),
)

export const isKeyword = (word: string) => keywords.has(word.toUpperCase())

interface Step {
  length: number
  token: Token
  state: State
}

// step reads one token of a line, from position at.
export function step(line: string, at: number, state: State): Step {
  const rest = line.slice(at)
  const until = (end: string, from: number, token: Token, open: State): Step => {
    let i = rest.indexOf(end, from)
    // A doubled quote is part of the text.
    while (end !== '*/' && i >= 0 && rest[i + 1] === end) i = rest.indexOf(end, i + 2)
    return i < 0 ? { length: rest.length, token, state: open } : { length: i + end.length, token, state: '' }
  }
  if (state === '/*') return until('*/', 0, 'comment', '/*')
  if (state === "'") return until("'", 0, 'string', "'")
  if (state === '`') return until('`', 0, '', '`')
  const c = rest[0]!
  if (rest.startsWith('--')) return { length: rest.length, token: 'comment', state: '' }
  if (rest.startsWith('/*')) return until('*/', 2, 'comment', '/*')
  if (c === "'") return until("'", 1, 'string', "'")
  if (c === '`') return until('`', 1, '', '`')
  const variable = /^\$\{[^}]*\}?/.exec(rest)
  if (variable) return { length: variable[0].length, token: 'variable', state: '' }
  const number = /^\d+(\.\d*)?([eE][+-]?\d+)?/.exec(rest)
  if (number) return { length: number[0].length, token: 'number', state: '' }
  const word = /^[\p{L}_][\p{L}\p{N}_$]*/u.exec(rest)
  if (word) {
    const token = isKeyword(word[0]) ? 'keyword' : /^\(/.test(rest.slice(word[0].length)) ? 'function' : ''
    return { length: word[0].length, token, state: '' }
  }
  const other = /^\s+/.exec(rest)
  return { length: other ? other[0].length : (rest.codePointAt(0)! > 0xffff ? 2 : 1), token: '', state: '' }
}

// highlight cuts a script into pieces of one colour, a list for each line.
export function highlight(script: string): { text: string; token: Token }[][] {
  let state: State = ''
  return script.split('\n').map((line) => {
    const out: { text: string; token: Token }[] = []
    for (let at = 0; at < line.length; ) {
      const s = step(line, at, state)
      const text = line.slice(at, at + s.length)
      const last = out[out.length - 1]
      if (last && last.token === s.token) last.text += text
      else out.push({ text, token: s.token })
      state = s.state
      at += s.length
    }
    return out
  })
}

// The jobmanager counts columns in characters from 1; JavaScript's strings count UTF-16 units from 0.
export function unitOf(line: string, column: number): number {
  let units = 0
  let left = column - 1
  for (const c of line) {
    if (left-- <= 0) break
    units += c.length
  }
  return units
}

export function columnOf(line: string, unit: number): number {
  return [...line.slice(0, unit)].length + 1
}
