package sample

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/sorting"
)

const (
	// RejectedMax is how many late, and how many bad records of an operator in a task are kept: the newest.
	RejectedMax = 50
	// RowsMax is how many rows of a batch are looked at.
	RowsMax = 16
	// rejectedMax bounds how many are looked at within rejectedEvery: rejecting all rows is to cost no more than that.
	rejectedMax   = RejectedMax
	rejectedEvery = time.Second
	reasonMax     = 512
)

// Rejection is a record that was rejected. At is in ms since 1970; Operator is an ID. A late one has its Row, an object; a bad one its Payload.
type Rejection struct {
	At       int64           `json:"at"`
	Operator string          `json:"operator"`
	Row      json.RawMessage `json:"row,omitempty"`
	Payload  string          `json:"payload,omitempty"`
	Reason   string          `json:"reason"`
}

// Rejected keeps the newest records that an operator has rejected in a task. A nil one keeps nothing. Records are taken on the task's goroutine, and
// read on any.
type Rejected struct {
	operator  string
	cell      Cell
	now       func() time.Time
	watermark func() stream.Time
	mu        struct {
		sync.Mutex
		late, bad ring
	}
}

// ring has the oldest at next when it is full.
type ring struct {
	all   []Rejection
	next  int
	since time.Time
	taken int
}

// NewRejected is for an operator. cell nil keeps no rows; watermark is the operator's, on the task's goroutine.
func NewRejected(operator string, cell Cell, now func() time.Time, watermark func() stream.Time) *Rejected {
	return &Rejected{operator: operator, cell: cell, now: now, watermark: watermark}
}

// Late takes rows of a batch that came too late: the first n that sel lists, or of all if it is nil. Both are lent.
func (r *Rejected) Late(b *vec.Batch, sel []int, n int, reason string) {
	if r == nil || r.cell == nil || n <= 0 {
		return
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.mu.late.allowed(now, n) {
		if k == 0 {
			if wm := r.watermark(); wm > stream.MinTime && wm < stream.MaxTime {
				reason += "; the watermark was at " + time.UnixMilli(wm).UTC().Format("2006-01-02 15:04:05.000")
			}
		}
		r.mu.late.add(Rejection{At: now.UnixMilli(), Operator: r.operator, Row: r.cell.object(b, physical(sel, k)), Reason: clip([]byte(reason), reasonMax)})
	}
}

// Rows takes rows of a batch that are bad, as Late does.
func (r *Rejected) Rows(b *vec.Batch, sel []int, n int, reason string) {
	if r == nil || r.cell == nil || n <= 0 {
		return
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.mu.bad.allowed(now, n) {
		payload := clip(r.cell.object(b, physical(sel, k)), cellBytesMax)
		r.mu.bad.add(Rejection{At: now.UnixMilli(), Operator: r.operator, Payload: payload, Reason: clip([]byte(reason), reasonMax)})
	}
}

// Record takes a record that could not be understood, which is lent. from is where it came from.
func (r *Rejected) Record(from string, record []byte, reason error) {
	if r == nil {
		return
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.bad.allowed(now, 1) == 0 {
		return
	}
	text := reason.Error()
	if from != "" {
		text = from + ": " + text
	}
	r.mu.bad.add(Rejection{At: now.UnixMilli(), Operator: r.operator, Payload: clip(record, cellBytesMax), Reason: clip([]byte(text), reasonMax)})
}

// Newest are the late and the bad ones, oldest first.
func (r *Rejected) Newest() (late, bad []Rejection) {
	if r == nil {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.late.list(), r.mu.bad.list()
}

// allowed is how many of n may be taken at now.
func (r *ring) allowed(now time.Time, n int) int {
	if d := now.Sub(r.since); d >= rejectedEvery || d < 0 {
		r.since, r.taken = now, 0
	}
	n = min(n, RowsMax, rejectedMax-r.taken)
	r.taken += n
	return n
}

func (r *ring) add(e Rejection) {
	if len(r.all) < RejectedMax {
		r.all = append(r.all, e)
		return
	}
	r.all[r.next] = e
	r.next = (r.next + 1) % RejectedMax
}

func (r *ring) list() []Rejection { return slices.Concat(r.all[r.next:], r.all[:r.next]) }

// Report is what tasks have rejected, oldest first.
type Report struct {
	Late []Rejection `json:"late,omitempty"`
	Bad  []Rejection `json:"bad,omitempty"`
}

// Add adds to a report, of which the newest stay: at most so many late ones, and so many bad ones.
func (r *Report) Add(o Report, most int) {
	r.Late, r.Bad = newest(append(r.Late, o.Late...), most), newest(append(r.Bad, o.Bad...), most)
}

// Empty reports whether there is nothing in it.
func (r *Report) Empty() bool { return len(r.Late) == 0 && len(r.Bad) == 0 }

func newest(all []Rejection, most int) []Rejection {
	sorting.StableBy(all, func(a, b Rejection) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	return slices.Clone(all[max(len(all)-most, 0):])
}

// Nulls takes rows of a batch whose value in a column is NULL, as bad.
func (r *Rejected) Nulls(b *vec.Batch, col *vec.Col, reason string) {
	if r == nil {
		return
	}
	var sel []int
	for k := 0; k < b.Len() && len(sel) < RowsMax; k++ {
		if i := physical(b.Sel(), k); col.IsNull(i) {
			sel = append(sel, i)
		}
	}
	r.Rows(b, sel, len(sel), reason)
}
