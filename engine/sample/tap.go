package sample

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	// A tap takes takenMax rows each takenEvery: 20 a second is more than anyone reads, and spread so that they come evenly.
	takenMax   = 5
	takenEvery = 250 * time.Millisecond
	// keptMax is what it keeps: whoever looks asks about twice a second.
	keptMax = 40
	// lease is for how long it takes rows after somebody has asked.
	lease = 5 * time.Second
)

// sequence numbers the rows that any tap of this process has taken, so that who asks can say what he has.
var sequence atomic.Int64

// Tap takes a sample of the rows that leave an operator, from the head of a batch now and then. The task's goroutine calls Take, any other Read.
type Tap struct {
	cell Cell
	mu   struct {
		sync.Mutex
		until   time.Time
		columns []Column
		rows    []Row
		seen    int64
		// taken are rows since since.
		since time.Time
		taken int
	}
}

// Row is a row of a sample.
type Row struct {
	Number int64           `json:"number"`
	Kind   byte            `json:"kind"`
	Values json.RawMessage `json:"values"`
}

// Rows is what a tap of one task has. Seen counts rows since it was opened.
type Rows struct {
	Vertex  string   `json:"vertex"`
	Index   int      `json:"index"`
	Attempt int      `json:"attempt"`
	Seen    int64    `json:"seen"`
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Answer is what a taskmanager says to Tail. Next is what to ask with, for what comes after.
type Answer struct {
	Next  int64  `json:"next"`
	Tasks []Rows `json:"tasks"`
}

// Newest is the number of the newest row of this process.
func Newest() int64 { return sequence.Load() }

// NewTap opens a tap at now.
func NewTap(cell Cell, now time.Time) *Tap {
	t := &Tap{cell: cell}
	t.mu.until = now.Add(lease)
	return t
}

// Take looks at a batch, which is lent, and reports whether anybody still looks.
func (t *Tap) Take(now time.Time, b *vec.Batch) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.mu
	if now.After(m.until) {
		return false
	}
	n := b.Len()
	m.seen += int64(n)
	if d := now.Sub(m.since); d >= takenEvery || d < 0 {
		m.since, m.taken = now, 0
	}
	if m.columns == nil {
		m.columns = columnsOf(b.Schema())
	}
	for k := 0; k < n && m.taken < takenMax; k++ {
		i := physical(b.Sel(), k)
		m.taken++
		if len(m.rows) == keptMax {
			copy(m.rows, m.rows[1:])
			m.rows = m.rows[:keptMax-1]
		}
		m.rows = append(m.rows, Row{sequence.Add(1), byte(b.Kind(i)), t.cell.array(b, i)})
	}
	return true
}

// Read returns the rows with numbers above after, and has the tap take rows for a while longer.
func (t *Tap) Read(now time.Time, after int64) Rows {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.mu
	m.until = now.Add(lease)
	out := Rows{Seen: m.seen, Columns: m.columns}
	for _, r := range m.rows {
		if r.Number > after {
			out.Rows = append(out.Rows, r)
		}
	}
	return out
}
