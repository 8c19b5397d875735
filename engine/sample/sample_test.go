package sample

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// cell writes integers and text.
func cell(dst []byte, c *vec.Col, i int) []byte {
	switch {
	case c.IsNull(i):
		return append(dst, "null"...)
	case c.Kind() == vec.String:
		return append(dst, quoted(string(c.Bytes(i)))...)
	}
	return strconv.AppendInt(dst, vec.Values[int64](c)[i], 10)
}

// numbers is a batch of n rows: a number from first on, NULL for each third, and text.
func numbers(first int64, n int, text string) *vec.Batch {
	b := vec.NewBatch(vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString}))
	for i := range n {
		if i%3 == 2 {
			b.Col(0).AppendNull()
		} else {
			vec.AppendValue(b.Col(0), first+int64(i))
		}
		b.Col(1).AppendString(text)
	}
	b.SetRows(n)
	return b
}

func TestTapIsBoundedInTime(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	tap := NewTap(cell, now)
	after, got := Newest(), 0
	for range 100 { // a second, of a million rows
		for range 10 {
			if !tap.Take(now, numbers(0, 1000, "x")) {
				t.Fatal("nobody looks any more")
			}
		}
		if r := tap.Read(now, after); len(r.Rows) > 0 {
			got += len(r.Rows)
			after = r.Rows[len(r.Rows)-1].Number
			if string(r.Rows[0].Values) != `[0,"x"]` || len(r.Columns) != 2 || r.Columns[1] != (Column{"s", "STRING"}) {
				t.Fatalf("%s of %v", r.Rows[0].Values, r.Columns)
			}
		}
		now = now.Add(10 * time.Millisecond)
	}
	if got != 20 {
		t.Errorf("%d rows in a second", got)
	}
	if r := tap.Read(now, after); r.Seen != 1_000_000 || len(r.Rows) != 0 {
		t.Errorf("%d rows seen, %d left", r.Seen, len(r.Rows))
	}
	if now = now.Add(lease + 1); tap.Take(now, numbers(0, 1, "x")) {
		t.Error("it goes on though nobody asks")
	}
}

func TestTapKeepsTheNewest(t *testing.T) {
	now := time.UnixMilli(0)
	tap := NewTap(cell, now)
	for i := range int64(16) {
		b := numbers(10*i, 5, "")
		b.SetSel([]int{1, 3})
		now = now.Add(takenEvery)
		tap.Take(now, b)
	}
	r := tap.Read(now, 0)
	if len(r.Rows) != 32 || string(r.Rows[31].Values) != `[153,""]` {
		t.Fatalf("%d rows, last %s", len(r.Rows), r.Rows[len(r.Rows)-1].Values)
	}
	for i := range int64(16) {
		now = now.Add(takenEvery)
		tap.Take(now, numbers(1000+i, 1, ""))
	}
	if r = tap.Read(now, 0); len(r.Rows) != keptMax || string(r.Rows[keptMax-1].Values) != `[1015,""]` {
		t.Errorf("%d rows, last %s", len(r.Rows), r.Rows[len(r.Rows)-1].Values)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	b := numbers(0, 1, strings.Repeat("ä", 100_000))
	for range 4 {
		b = widened(b)
	}
	row := Cell(cell).array(b, 0)
	var values []any
	if err := json.Unmarshal(row, &values); err != nil || len(values) != b.Width() {
		t.Fatalf("%v: %d values", err, len(values))
	}
	if len(row) > rowBytesMax+10*b.Width() || !strings.HasSuffix(values[1].(string), "ää…") || values[b.Width()-1] != "…" {
		t.Errorf("%d bytes, the last is %v", len(row), values[b.Width()-1])
	}
	nested := Cell(func(dst []byte, _ *vec.Col, _ int) []byte { return append(dst, `["`+strings.Repeat("x", 9000)+`"]`...) })
	if row := nested.object(numbers(0, 1, ""), 0); !json.Valid(row) || len(row) > rowBytesMax+100 {
		t.Errorf("%d bytes: %.80s", len(row), row)
	}
}

// widened is a batch with each column twice.
func widened(b *vec.Batch) *vec.Batch {
	out := vec.NewBatch(vec.NewSchema(append(b.Schema().Fields, b.Schema().Fields...)...))
	for i := range out.Width() {
		out.SetCol(i, b.Col(i%b.Width()))
	}
	out.SetRows(b.Rows())
	return out
}

func TestRejected(t *testing.T) {
	now := time.UnixMilli(5000)
	wm := stream.MinTime
	r := NewRejected("op", cell, func() time.Time { return now }, func() stream.Time { return wm })
	r.Late(numbers(7, 3, "x"), []int{1, 2}, 1, "too late")
	wm = 60_000
	r.Late(numbers(7, 3, "x"), []int{2}, 1, "too late")
	r.Nulls(numbers(0, 4, "x"), numbers(0, 4, "x").Col(0), "its time is NULL")
	r.Record("topic a", []byte("\xffoops"), errors.New("no JSON"))
	late, bad := r.Newest()
	want := `[{"at":5000,"operator":"op","row":{"n":8,"s":"x"},"reason":"too late"},` +
		`{"at":5000,"operator":"op","row":{"n":null,"s":"x"},"reason":"too late; the watermark was at 1970-01-01 00:01:00.000"}]`
	if got, err := json.Marshal(late); err != nil || string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	want = `[{"at":5000,"operator":"op","payload":"{\"n\":null,\"s\":\"x\"}","reason":"its time is NULL"},` +
		`{"at":5000,"operator":"op","payload":"\ufffdoops","reason":"topic a: no JSON"}]`
	if got, err := json.Marshal(bad); err != nil || string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestRejectingEverythingIsBounded(t *testing.T) {
	now, made := time.UnixMilli(0), 0
	counting := func(dst []byte, c *vec.Col, i int) []byte { made++; return cell(dst, c, i) }
	r := NewRejected("op", counting, func() time.Time { return now }, func() stream.Time { return 0 })
	b := numbers(0, 1000, "x")
	for range 1000 {
		r.Late(b, nil, b.Len(), "")
		r.Record("", []byte("x"), errors.New(""))
	}
	if made != 2*rejectedMax {
		t.Errorf("%d values were written", made)
	}
	now = now.Add(rejectedEvery)
	r.Record("", []byte("last"), errors.New(""))
	late, bad := r.Newest()
	if len(late) != RejectedMax || len(bad) != RejectedMax || bad[RejectedMax-1].Payload != "last" || bad[0].Payload != "x" {
		t.Errorf("%d late, %d bad: %v", len(late), len(bad), bad)
	}
	var none *Rejected
	none.Late(b, nil, 1, "")
	none.Nulls(b, b.Col(0), "")
	none.Record("", nil, nil)
}

func TestReport(t *testing.T) {
	var r Report
	for i := range int64(5) {
		r.Add(Report{Late: []Rejection{{At: 10 - i}}, Bad: []Rejection{{At: i, Reason: fmt.Sprint(i)}}}, 3)
	}
	if len(r.Late) != 3 || r.Late[0].At != 8 || r.Late[2].At != 10 || r.Bad[2].At != 4 || r.Empty() {
		t.Errorf("%+v", r)
	}
}
