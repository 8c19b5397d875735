// The documents of the jobmanager's own HTTP API. Times are Unix milliseconds, durations milliseconds, ratios 0 to 1, null is unknown.

type Num = number | null

export interface Session {
  version: string
  readOnly: boolean
  needsToken: boolean
  authenticated: boolean
  // Why nothing can be changed, and what would allow it.
  readOnlyReason?: string | null
}

export interface TaskManager {
  id: string
  address: string
  dataAddress: string
  os: string | null
  arch: string | null
  cores: Num
  memoryBudgetBytes: Num
  memoryUsedBytes: Num
  rssBytes: Num
  temperatureCelsius: Num
  slots: number
  slotsFree: number
  registeredAt: Num
  lastHeartbeatAt: Num
  version: string | null
  goroutines: Num
  hostName?: string | null
}

export interface JobSummary {
  id: string
  name: string
  state: string
  startedAt: Num
  endedAt: Num
  durationMs: Num
  // Why a job that does not run waits.
  waitingReason?: string | null
  restarts: number
  parallelism: Num
  tasks: { running: number; finished?: number; total: number } | null
  recordsInPerSecond: Num
  recordsOutPerSecond: Num
  busyRatio: Num
  backpressuredRatio: Num
  watermarkLagMs: Num
  late: Num
  bad: Num
  lastCheckpointAt: Num
  checkpointsFailed: Num
}

export interface Cluster {
  version: string
  startedAt: Num
  leaderEpoch: Num
  address: string
  checkpointDir: string | null
  slotsTotal: number
  slotsAvailable: number
  taskmanagers: TaskManager[] | null
  jobs: JobSummary[] | null
}

export interface Operator {
  id: string
  name: string
  kind: string
  sqlLine?: Num
  sqlColumn?: Num
  sqlText?: string | null
}

export interface Task {
  index: number
  attempt: Num
  state: string
  taskmanager: string | null
  busyRatio: Num
  backpressuredRatio: Num
  idleRatio: Num
  recordsIn: Num
  recordsOut: Num
  recordsInPerSecond: Num
  recordsOutPerSecond: Num
  watermark: Num
  late: Num
  bad: Num
  stateBytes: Num
  stateKeys: Num
  error: string | null
}

export interface OperatorMetrics {
  id: string
  name: string
  recordsIn: Num
  recordsOut: Num
  late: Num
  bad: Num
  stateBytes: Num
  stateKeys: Num
}

// A vertex of a plan has the first fields only, since nothing runs yet.
export interface PlanVertex {
  id: string
  name: string
  parallelism: Num
  depth?: Num
  operators: Operator[] | null
}

export interface Vertex extends PlanVertex {
  state: string
  busyRatio: Num
  backpressuredRatio: Num
  idleRatio: Num
  recordsIn: Num
  recordsOut: Num
  recordsInPerSecond: Num
  recordsOutPerSecond: Num
  bytesIn: Num
  bytesOut: Num
  watermark: Num
  watermarkLagMs: Num
  late: Num
  bad: Num
  stateBytes: Num
  stateKeys: Num
  latency: { p50: Num; p95: Num; p99: Num } | null
  operatorMetrics: OperatorMetrics[] | null
  tasks: Task[] | null
}

export interface Edge {
  source: string
  target: string
  kind: string
  recordsPerSecond?: Num
  // late or bad, for rows that are routed aside.
  tag?: string | null
}

export interface CheckpointTask {
  vertex: string
  index: number
  alignmentMs: Num
  durationMs: Num
  sizeBytes: Num
  incrementBytes: Num
}

export interface Checkpoint {
  id: number
  kind: string
  state: string
  triggeredAt: Num
  durationMs: Num
  sizeBytes: Num
  incrementBytes: Num
  alignmentMs: Num
  path: string | null
  error: string | null
  tasks: CheckpointTask[] | null
}

export interface Exception {
  at: Num
  task: string | null
  taskmanager: string | null
  message: string
  root: string | null
  operator?: string | null
  sqlLine?: Num
}

export interface Job extends JobSummary {
  script: string | null
  cause: string | null
  vertices: Vertex[] | null
  edges: Edge[] | null
  checkpoints: {
    interval: Num
    counts: { completed: number; failed: number; inProgress: number; restored: number }
    history: Checkpoint[] | null
  } | null
  exceptions: Exception[] | null
  restartHistory?: Restart[] | null
  warnings?: string[] | null
  health?: Health[] | null
}

export interface Series {
  stepMs: number
  times: number[]
  series: Record<string, (number | null)[]>
}

export interface Column {
  name: string
  type: string
}

export interface Rows {
  columns?: Column[] | null
  rows: unknown[][] | null
  kinds: string[] | null
  seen?: Num
  sampled?: unknown
}

export interface Rejected {
  late: { at: Num; operator: string; row: Record<string, unknown> | unknown[] | null; reason: string }[] | null
  bad: { at: Num; operator: string; payload: string | null; reason: string }[] | null
  lateTotal: Num
  badTotal: Num
}

export interface Diagnostic {
  line: number
  column: number
  endLine?: number
  endColumn?: number
  message: string
}

export interface Plan {
  vertices: PlanVertex[] | null
  edges: Edge[] | null
}

export interface Validation {
  diagnostics: Diagnostic[] | null
  plan: Plan | null
  explain: string | null
  warnings?: string[] | null
}

export interface CompletionItem {
  label: string
  kind: string
  detail?: string | null
  insert?: string | null
}

export interface Completions {
  from: { line: number; column: number }
  items: CompletionItem[] | null
}

export interface Example {
  name: string
  title: string
  script: string
}

export interface Trigger {
  state: 'in_progress' | 'completed' | 'failed'
  path: string | null
  error: string | null
  startedAt: Num
  endedAt: Num
}

export interface Frame {
  name: string
  value: number
  children?: Frame[] | null
}

// Health is what an outside system does, as one task sees it.
export interface Health {
  component: string
  error: string
  since: Num
  vertex: string
  index: number
}

export interface Restart {
  at: Num
  cause: string
}

// ended says whether a job is over for good.
export function ended(state: string): boolean {
  return ['FINISHED', 'FAILED', 'CANCELED', 'CANCELLED', 'SUSPENDED', 'STOPPED'].includes(state.toUpperCase())
}
