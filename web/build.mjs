// Builds the dashboard into dist/: names carry a hash of their content, so that a browser may keep them for ever, and every file is there
// compressed only, since that is what goes over the wire and into the binaries. The same sources give the same bytes.
//
//   node build.mjs            dist/
//   node build.mjs --verify   fails if dist/ is not what the sources give
//   node build.mjs --test     unit tests, into .build/test
//   node build.mjs --dev      builds into .build/dev, serves it with a made-up cluster, and builds again when a source changes
import { readFileSync, readdirSync, rmSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'

process.chdir(fileURLToPath(new URL('.', import.meta.url))) // import.meta.dirname is younger than Debian's Node.js

// What everything together may weigh, compressed: issue no phone on a slow network a wait.
const compressedMax = 300_000

const app = {
  entryPoints: ['src/main.tsx', 'src/theme.ts', 'src/style.css'],
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  minify: true,
  legalComments: 'none',
  charset: 'utf8',
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  outdir: 'out',
  metafile: true,
  write: false,
  logLevel: 'warning',
}

// files returns what dist/ should hold, uncompressed, by name.
function files(result) {
  const out = new Map()
  const entry = {}
  for (const f of result.outputFiles) {
    const name = basename(f.path)
    out.set(name, Buffer.from(f.contents))
    const source = Object.entries(result.metafile.outputs).find(([path]) => basename(path) === name)?.[1].entryPoint
    if (source) entry[source] = name
  }
  let html = readFileSync('src/index.html', 'utf8')
  for (const [source, name] of Object.entries(entry)) html = html.replaceAll(source, 'assets/' + name)
  if (html.includes('src/')) throw new Error('index.html names a source that was not built')
  out.set('index.html', Buffer.from(html))
  out.set('icon.svg', readFileSync('src/icon.svg'))
  return out
}

// compress is gzip whose header says nothing of the time or the system.
function compress(data) {
  const z = gzipSync(data, { level: 9 })
  z.fill(0, 4, 8)
  z[9] = 255
  return z
}

function write(dir, out) {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  let total = 0
  for (const [name, data] of out) {
    const z = compress(data)
    total += z.length
    writeFileSync(`${dir}/${name}.gz`, z)
  }
  return total
}

// verify compares what is inside: another release of zlib may pack the same bytes otherwise.
function verify(dir, out) {
  const faults = []
  const have = new Set(readdirSync(dir))
  for (const [name, data] of out) {
    const file = `${name}.gz`
    if (!have.delete(file)) faults.push(`${file} is missing`)
    else if (!gunzipSync(readFileSync(`${dir}/${file}`)).equals(data)) faults.push(`${file} differs`)
  }
  for (const file of have) faults.push(`${file} is left over`)
  return faults
}

const mode = process.argv[2] ?? ''
if (mode === '' || mode === '--verify') {
  const out = files(await esbuild.build(app))
  if (mode === '--verify') {
    const faults = verify('dist', out)
    if (faults.length) {
      console.error('web/dist is not what web/src gives; run make web and commit it:\n  ' + faults.join('\n  '))
      process.exit(1)
    }
    console.log('web/dist is current')
  } else {
    const total = write('dist', out)
    for (const [name, data] of out) console.log(`${String(compress(data).length).padStart(8)}  ${name}`)
    console.log(`${String(total).padStart(8)}  in all, compressed`)
    if (total > compressedMax) {
      console.error(`more than ${compressedMax} bytes`)
      process.exit(1)
    }
  }
} else if (mode === '--test') {
  rmSync('.build/test', { recursive: true, force: true })
  await esbuild.build({
    entryPoints: readdirSync('test').filter((f) => f.endsWith('.test.ts')).map((f) => 'test/' + f),
    bundle: true, format: 'esm', platform: 'node', target: 'node20', outdir: '.build/test', outExtension: { '.js': '.mjs' },
    sourcemap: 'inline', logLevel: 'warning',
  })
} else if (mode === '--dev') {
  await esbuild.build({
    entryPoints: ['dev/mock.ts'], bundle: true, format: 'esm', platform: 'node', target: 'node20', outfile: '.build/mock.mjs', logLevel: 'warning',
  })
  const plugin = {
    name: 'write',
    setup(build) {
      build.onEnd((result) => {
        if (!result.errors.length) console.log(`built, ${write('.build/dev', files(result))} bytes compressed`)
      })
    },
  }
  const context = await esbuild.context({ ...app, plugins: [plugin] })
  await context.watch()
  spawn(process.execPath, ['.build/mock.mjs', ...process.argv.slice(3)], { stdio: 'inherit' }).on('exit', (code) => process.exit(code ?? 1))
} else {
  console.error('usage: node build.mjs [--verify|--test|--dev [PORT]]')
  process.exit(2)
}
