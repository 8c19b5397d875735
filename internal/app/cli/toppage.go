package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// topPage is what bramble top shows, and what keys do to it. It does no I/O.
type topPage struct {
	cluster *rest.Cluster
	job     *rest.Job
	now     time.Time
	// jobID and vertexID say what is looked into, "" for all jobs and for all vertices.
	jobID, vertexID string
	// selected is the row, at the cursor of each level; sorted the column that each level is sorted by, turned the other way round.
	selected [3]int
	sorted   [3]int
	turned   [3]bool
	// stale says that a key asks for another document; fault is why there is none, plain that the page is not for a terminal.
	stale bool
	fault error
	plain bool
}

func (p *topPage) take(c *rest.Cluster, j *rest.Job, now time.Time) {
	p.cluster, p.job, p.now, p.stale, p.fault = c, j, now, false, nil
	if j != nil {
		p.jobID = j.ID
	}
}

// level is 0 for jobs, 1 for a job's operators, 2 for an operator's tasks.
func (p *topPage) level() int {
	switch {
	case p.jobID == "":
		return 0
	case p.vertexID == "":
		return 1
	}
	return 2
}

func (p *topPage) back() {
	if p.vertexID != "" {
		p.vertexID = ""
		return
	}
	p.jobID, p.job = "", nil
}

// key does what was typed, and reports whether that is to end.
func (p *topPage) key(keys string) (quit bool) {
	l := p.level()
	rows := p.table().rows
	switch keys {
	case "q", "Q", "\x03", "\x04":
		return true
	case "\x1b[A", "\x1bOA", "k":
		p.selected[l]--
	case "\x1b[B", "\x1bOB", "j":
		p.selected[l]++
	case "\x1b[5~":
		p.selected[l] -= 10
	case "\x1b[6~":
		p.selected[l] += 10
	case "\x1b[H":
		p.selected[l] = 0
	case "\x1b[F":
		p.selected[l] = len(rows)
	case "\r", "\n", "\x1b[C", "\x1bOC", "l":
		if len(rows) == 0 || l == 2 {
			break
		}
		id := rows[min(max(p.selected[l], 0), len(rows)-1)].id
		if l == 0 {
			p.jobID, p.stale = id, true
		} else {
			p.vertexID = id
		}
		p.selected[l+1] = 0
	case "\x1b", "\x7f", "\b", "\x1b[D", "\x1bOD", "h":
		if l > 0 {
			p.back()
		}
	case "s", "S":
		p.sorted[l] = (p.sorted[l] + 1) % (len(p.table().columns) + 1)
	case "r", "R":
		p.turned[l] = !p.turned[l]
	}
	l = p.level()
	p.selected[l] = min(max(p.selected[l], 0), max(len(p.table().rows)-1, 0))
	return false
}

// topTable is what a level shows.
type topTable struct {
	columns []topColumn
	rows    []topRow
}

// topColumn has a width, 0 for what is left over.
type topColumn struct {
	name  string
	width int
	left  bool
}

type topRow struct {
	id    string
	cells []topCell
}

// topCell is a value: text for people, and what it is sorted by.
type topCell struct {
	text  string
	value float64
	style string
}

func word(s string) topCell { return topCell{text: clean(s)} }

// none stands for what is not known.
var none = topCell{text: "-", value: -1}

// ratio is a share in percent; from warn on it is coloured.
func ratio(v *float64, warn float64) topCell {
	if v == nil {
		return none
	}
	c := topCell{text: fmt.Sprintf("%.0f%%", 100**v), value: *v}
	if *v >= warn {
		c.style = ansiYellow
	}
	return c
}

// rate is a number of records a second.
func rate(v *float64) topCell {
	if v == nil {
		return none
	}
	return topCell{text: short(*v), value: *v}
}

// short is a number with at most five characters.
func short(v float64) string {
	for _, u := range []string{"", "k", "M", "G"} {
		switch {
		case v < 10 && v != float64(int64(v)):
			return fmt.Sprintf("%.1f%s", v, u)
		case v < 999.5:
			return fmt.Sprintf("%.0f%s", v, u)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.0fT", v)
}

// span is a time with at most six characters.
func span(ms int64) topCell {
	d, c := time.Duration(ms)*time.Millisecond, topCell{value: float64(ms)}
	switch {
	case d < time.Second:
		c.text = fmt.Sprintf("%dms", max(ms, 0))
	case d < 10*time.Second:
		c.text = fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		c.text = fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		c.text = fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		c.text = fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		c.text = fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
	return c
}

func optionalSpan(ms *int64) topCell {
	if ms == nil {
		return none
	}
	return span(*ms)
}

func stateCell(state string) topCell {
	c := word(state)
	switch state {
	case "FAILED", "FAILING":
		c.style = ansiRed
	case "RESTARTING", "CREATED", "INITIALIZING":
		c.style = ansiYellow
	case "FINISHED", "CANCELED":
		c.style = ansiDim
	}
	return c
}

func counted(n int64) topCell { return topCell{text: short(float64(n)), value: float64(n)} }

// table is what the present level shows, sorted.
func (p *topPage) table() topTable {
	var t topTable
	switch {
	case p.cluster == nil:
	case p.level() == 0:
		t = p.jobs()
	case p.job == nil:
	case p.level() == 1:
		t = p.vertices()
	default:
		t = p.tasks()
	}
	l := p.level()
	if by := p.sorted[l] - 1; by >= 0 && by < len(t.columns) {
		sorting.StableBy(t.rows, func(a, b topRow) int { // the highest number first
			return cmp.Or(cmp.Compare(b.cells[by].value, a.cells[by].value), cmp.Compare(a.cells[by].text, b.cells[by].text))
		})
	}
	if p.turned[l] {
		slices.Reverse(t.rows)
	}
	return t
}

func (p *topPage) jobs() topTable {
	t := topTable{columns: []topColumn{
		{"JOB", 8, true},
		{"NAME", 0, true},
		{"STATE", 10, true},
		{"UP", 6, false},
		{"IN/s", 5, false},
		{"OUT/s", 5, false},
		{"BUSY", 4, false},
		{"BACK", 4, false},
		{"LAG", 6, false},
		{"RST", 3, false},
		{"CKPT", 6, false},
	}}
	for _, j := range p.cluster.Jobs {
		restarts := counted(int64(j.Restarts))
		if j.Restarts > 0 {
			restarts.style = ansiYellow
		}
		checkpoint := none
		if j.LastCheckpointAt != nil {
			checkpoint = span(p.now.UnixMilli() - *j.LastCheckpointAt)
		}
		if j.CheckpointsFailed != nil && *j.CheckpointsFailed > 0 {
			checkpoint.style = ansiYellow
		}
		t.rows = append(t.rows, topRow{j.ID, []topCell{
			word(j.ID[:min(8, len(j.ID))]), word(j.Name), stateCell(j.State), span(j.DurationMS), rate(j.RecordsInPerSecond), rate(j.RecordsOutPerSecond), ratio(j.BusyRatio, 0.9),
			ratio(j.BackpressuredRatio, 0.5), optionalSpan(j.WatermarkLagMS), restarts, checkpoint,
		}})
	}
	return t
}

func (p *topPage) vertices() topTable {
	t := topTable{columns: []topColumn{
		{"OPERATORS", 0, true},
		{"TASKS", 5, false},
		{"IN/s", 5, false},
		{"OUT/s", 5, false},
		{"BUSY", 4, false},
		{"BACK", 4, false},
		{"SKEW", 5, false},
		{"LAG", 6, false},
		{"STATE", 8, false},
		{"LATE", 4, false},
		{"BAD", 4, false},
	}}
	for _, v := range p.job.Vertices {
		running := int64(0)
		for _, k := range v.Tasks {
			if k.State == "RUNNING" {
				running++
			}
		}
		tasks := topCell{text: fmt.Sprintf("%d/%d", running, v.Parallelism), value: float64(v.Parallelism)}
		t.rows = append(t.rows, topRow{v.ID, append([]topCell{word(v.Name), tasks, rate(v.RecordsInPerSecond), rate(v.RecordsOutPerSecond)},
			ratio(v.BusyRatio, 0.9), ratio(v.BackpressuredRatio, 0.5), skew(v), optionalSpan(v.WatermarkLagMS),
			topCell{text: bytesText(v.StateBytes), value: float64(v.StateBytes)}, refused(v.Late), refused(v.Bad))})
	}
	return t
}

func refused(n int64) topCell {
	c := counted(n)
	if n > 0 {
		c.style = ansiYellow
	}
	return c
}

// skew is how much more the busiest task gets than an average one.
func skew(v *rest.Vertex) topCell {
	var most, sum int64
	for _, k := range v.Tasks {
		n := max(k.RecordsIn, k.RecordsOut)
		most, sum = max(most, n), sum+n
	}
	if sum == 0 || len(v.Tasks) < 2 {
		return none
	}
	f := float64(most) * float64(len(v.Tasks)) / float64(sum)
	c := topCell{text: fmt.Sprintf("×%.1f", f), value: f}
	if f >= 2 {
		c.style = ansiYellow
	}
	return c
}

func (p *topPage) tasks() topTable {
	t := topTable{columns: []topColumn{
		{"TASK", 4, false},
		{"STATE", 10, true},
		{"TASKMANAGER", 0, true},
		{"IN/s", 5, false},
		{"OUT/s", 5, false},
		{"BUSY", 4, false},
		{"BACK", 4, false},
		{"LAG", 6, false},
		{"STATE", 8, false},
		{"KEYS", 5, false},
	}}
	for _, v := range p.job.Vertices {
		if v.ID != p.vertexID {
			continue
		}
		for _, k := range v.Tasks {
			t.rows = append(t.rows, topRow{fmt.Sprint(k.Index), []topCell{
				counted(int64(k.Index) + 1), stateCell(k.State), word(k.TaskManager), rate(k.RecordsInPerSecond), rate(k.RecordsOutPerSecond), ratio(k.BusyRatio, 0.9),
				ratio(k.BackpressuredRatio, 0.5), optionalSpan(k.WatermarkLagMS),
				{text: bytesText(k.StateBytes), value: float64(k.StateBytes)},
				counted(k.StateKeys),
			}})
		}
	}
	return t
}

// head are the lines above the table.
func (p *topPage) head() []string {
	c := p.cluster
	var cores int
	var used, budget int64
	hottest := 0.0
	for _, m := range c.TaskManagers {
		cores += m.Cores
		used += m.MemoryUsedBytes
		if m.MemoryBudgetBytes != nil {
			budget += *m.MemoryBudgetBytes
		}
		if m.TemperatureCelsius != nil {
			hottest = max(hottest, *m.TemperatureCelsius)
		}
	}
	running := 0
	for _, j := range c.Jobs {
		if j.State == "RUNNING" {
			running++
		}
	}
	first := fmt.Sprintf("bramble %s  up %s  %s", c.Version, span(p.now.UnixMilli()-c.StartedAt).text, p.now.Format("15:04:05"))
	second := fmt.Sprintf("%s, %d of %d slots free, %s, memory %s of %s", plural(int64(len(c.TaskManagers)), "taskmanager"), c.SlotsAvailable, c.SlotsTotal,
		plural(int64(cores), "core"), bytesText(used), bytesText(budget))
	if hottest > 0 {
		second += fmt.Sprintf(", %.0f °C", hottest)
	}
	third := fmt.Sprintf("%d of %s running", running, plural(int64(len(c.Jobs)), "job"))
	if j := p.job; j != nil && p.jobID != "" {
		third = fmt.Sprintf("%s  %s  %s  up %s  restarts %d", j.ID[:min(8, len(j.ID))], clean(j.Name), j.State, span(j.DurationMS).text, j.Restarts)
		if k := j.Checkpoints; k != nil && len(k.History) > 0 {
			h := k.History[0]
			third += fmt.Sprintf("  checkpoint %d %s", h.ID, h.State)
			if h.DurationMS != nil {
				third += fmt.Sprintf(" in %s, %s", span(*h.DurationMS).text, bytesText(h.SizeBytes))
			}
		}
		for _, v := range j.Vertices {
			if v.ID == p.vertexID {
				third = clean(v.Name)
			}
		}
	}
	return []string{first, second, third}
}

// note is the most urgent thing to say.
func (p *topPage) note() string {
	switch {
	case p.fault != nil:
		return "error: " + clean(strings.Join(strings.Fields(p.fault.Error()), " "))
	case p.job != nil && p.job.WaitingReason != "":
		return "waiting: " + clean(p.job.WaitingReason)
	case p.job != nil && p.job.Cause != nil:
		return "cause: " + clean(strings.Join(strings.Fields(*p.job.Cause), " "))
	case p.level() == 0 && p.cluster != nil && len(p.cluster.Jobs) == 0:
		return "no jobs: `bramble submit JOB.sql` starts one, `bramble sql` tries queries"
	}
	return ""
}

// lines are the page, width columns wide and at most height lines high.
func (p *topPage) lines(width, height int) []string {
	if p.cluster == nil {
		return []string{fit(p.note(), width, false)}
	}
	var out []string
	for _, h := range p.head() {
		out = append(out, fit(h, width, false))
	}
	note := fit(p.note(), width, false)
	if p.fault != nil {
		note = ansiRed + note
	}
	t := p.table()
	t.narrow(width)
	out = append(out, note, p.header(t, width))
	l := p.level()
	room := max(height-len(out)-1, 1)
	from := max(min(p.selected[l]-room+1, len(t.rows)-room), 0)
	for i := from; i < min(len(t.rows), from+room); i++ {
		out = append(out, p.row(t, i, width))
	}
	if p.plain {
		for i := range out {
			for _, s := range []string{ansiBold, ansiReverse, ansiRed, ansiYellow, ansiDim, ansiPlain} {
				out[i] = strings.ReplaceAll(out[i], s, "")
			}
		}
		return out
	}
	for len(out) < height-1 {
		out = append(out, "")
	}
	keys := [...]string{"↑↓ select  Enter operators  s sort  r turn  q quit", "↑↓ select  Enter tasks  Esc back  s sort  r turn  q quit", "Esc back  s sort  r turn  q quit"}[l]
	if n := len(t.rows); n > room {
		keys += fmt.Sprintf("  %d–%d of %d", from+1, min(from+room, n), n)
	}
	return append(out[:height-1], ansiDim+fit(keys, width, false))
}

// narrow leaves out the last columns when there is no room for them.
func (t *topTable) narrow(width int) {
	const flexible = 8
	need := -1
	for i, c := range t.columns {
		w := c.width
		if w == 0 {
			w = flexible
		}
		if need += w + 1; need > width && i > 0 {
			t.columns = t.columns[:i]
			return
		}
	}
}

// widths gives the column without a width what is left over.
func (t *topTable) widths(width int) []int {
	out := make([]int, len(t.columns))
	left := width - len(out) + 1
	for i, c := range t.columns {
		out[i] = c.width
		left -= c.width
	}
	for i, c := range t.columns {
		if c.width == 0 {
			out[i] = max(min(left, width), 1)
		}
	}
	return out
}

func (p *topPage) header(t topTable, width int) string {
	if len(t.columns) == 0 {
		return ""
	}
	widths := t.widths(width)
	parts := make([]string, len(t.columns))
	for i, c := range t.columns {
		parts[i] = fit(c.name, widths[i], !c.left)
		if p.sorted[p.level()] == i+1 {
			parts[i] = ansiBold + parts[i] + ansiPlain + ansiReverse
		}
	}
	return ansiReverse + strings.Join(parts, " ")
}

func (p *topPage) row(t topTable, at, width int) string {
	widths := t.widths(width)
	chosen := at == p.selected[p.level()] && !p.plain
	parts := make([]string, len(t.columns))
	for i, c := range t.columns {
		v := t.rows[at].cells[i]
		parts[i] = fit(v.text, widths[i], !c.left)
		if v.style != "" && !chosen {
			parts[i] = v.style + parts[i] + ansiPlain
		}
	}
	line := strings.Join(parts, " ")
	if chosen {
		return ansiBold + "\x1b[4m" + line
	}
	return line
}
