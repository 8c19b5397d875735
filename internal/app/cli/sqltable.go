package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/bramble-stream/bramble/engine/vec"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

const (
	// liveRowsMax is how many rows of a result are kept; of more, the newest.
	liveRowsMax = 10_000
	// cellMax is how wide a column is shown.
	cellMax = 40
)

// liveTable is the table that the changes of a query make.
type liveTable struct {
	names, types []string
	// rows are as they came, JSON arrays; nil where one was taken back. at says where equal ones are, holes which of them an update has left for the row
	// that follows.
	rows  []json.RawMessage
	at    map[string][]int
	holes []int
	// live are the rows that are there, changes what has come, forgotten the rows that were let go because there were too many.
	live, changes, forgotten int64
	// updates says that a row was changed.
	updates bool
}

func (t *liveTable) begin(columns []*pb.PreviewColumn) {
	*t = liveTable{at: map[string][]int{}}
	for _, c := range columns {
		t.names, t.types = append(t.names, c.Name), append(t.types, c.Type)
	}
}

// apply takes in rows.
func (t *liveTable) apply(m *pb.PreviewRows) error {
	var rows []json.RawMessage
	if err := json.Unmarshal(m.RowsJson, &rows); err != nil {
		return fmt.Errorf("rows from the jobmanager: %w", err)
	}
	for i, r := range rows {
		kind := vec.Insert
		if i < len(m.Kinds) {
			kind = vec.RowKind(m.Kinds[i])
		}
		t.change(kind, r)
	}
	return nil
}

func (t *liveTable) change(kind vec.RowKind, row json.RawMessage) {
	t.changes++
	t.updates = t.updates || kind != vec.Insert
	switch kind {
	case vec.UpdateBefore, vec.Delete:
		places := t.at[string(row)]
		if len(places) == 0 {
			return // it was let go
		}
		at := places[len(places)-1]
		if places = places[:len(places)-1]; len(places) == 0 {
			delete(t.at, string(row))
		} else {
			t.at[string(row)] = places
		}
		t.rows[at] = nil
		t.live--
		if kind == vec.UpdateBefore {
			t.holes = append(t.holes, at)
		}
	case vec.UpdateAfter:
		if n := len(t.holes); n > 0 {
			t.put(t.holes[n-1], row)
			t.holes = t.holes[:n-1]
			return
		}
		t.add(row)
	case vec.Insert:
		t.add(row)
	}
}

func (t *liveTable) put(at int, row json.RawMessage) {
	t.rows[at] = row
	t.at[string(row)] = append(t.at[string(row)], at)
	t.live++
}

func (t *liveTable) add(row json.RawMessage) {
	t.rows = append(t.rows, nil)
	t.put(len(t.rows)-1, row)
	if len(t.rows) >= 2*liveRowsMax || t.live > liveRowsMax+liveRowsMax/4 {
		t.compact()
	}
}

// compact lets go of holes, and of the oldest rows when there are too many.
func (t *liveTable) compact() {
	drop := max(t.live-liveRowsMax, 0)
	t.forgotten += drop
	old := t.rows
	t.rows, t.at, t.holes, t.live = nil, map[string][]int{}, nil, 0
	for _, r := range old {
		if r == nil {
			continue
		}
		if drop > 0 {
			drop--
			continue
		}
		t.rows = append(t.rows, nil)
		t.put(len(t.rows)-1, r)
	}
}

// some are at most n rows, as text: the first of a table that changes, the newest of one that grows.
func (t *liveTable) some(n int) [][]string {
	var picked []json.RawMessage
	if t.updates {
		for i := 0; i < len(t.rows) && len(picked) < n; i++ {
			if t.rows[i] != nil {
				picked = append(picked, t.rows[i])
			}
		}
	} else {
		picked = t.rows[max(len(t.rows)-n, 0):]
	}
	out := make([][]string, 0, len(picked))
	for _, r := range picked {
		row := cells(r)
		for len(row) < len(t.names) { // from a jobmanager that is none of ours
			row = append(row, "")
		}
		out = append(out, row)
	}
	return out
}

// cells are the values of a row for people.
func cells(row json.RawMessage) []string {
	var values []json.RawMessage
	if json.Unmarshal(row, &values) != nil {
		return []string{clean(string(row))}
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = cell(v)
	}
	return out
}

// cell is a value for people: text without quotes, the rest as JSON has it.
func cell(v json.RawMessage) string {
	var s string
	switch {
	case bytes.Equal(v, []byte("null")):
		return "NULL"
	case len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil:
		return clean(s)
	}
	return clean(string(v))
}

// clean has what comes from outside say nothing to the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

// fit makes a text exactly as wide as a column, with an ellipsis where it is cut.
func fit(s string, width int, right bool) string {
	w := text.StringWidthWithoutEscSequences(s)
	if w > width {
		var b strings.Builder
		w = 0
		for _, r := range s {
			n := text.RuneWidth(r)
			if w+n > width-1 {
				break
			}
			b.WriteRune(r)
			w += n
		}
		if width > 0 {
			b.WriteRune('…')
			w++
		}
		s = b.String()
	}
	pad := strings.Repeat(" ", max(width-w, 0))
	if right {
		return pad + s
	}
	return s + pad
}

// lines are the table with n rows at most, width columns of the terminal wide (0: as wide as it is).
func (t *liveTable) lines(n, width int) []string {
	rows := t.some(n)
	widths := make([]int, len(t.names))
	for i, name := range t.names {
		widths[i] = min(text.StringWidthWithoutEscSequences(clean(name)), cellMax)
		for _, r := range rows {
			widths[i] = max(widths[i], min(text.StringWidthWithoutEscSequences(r[i]), cellMax))
		}
	}
	line := func(sep string, cellOf func(i int) string) string {
		parts := make([]string, len(widths))
		for i := range widths {
			parts[i] = cellOf(i)
		}
		s := " " + strings.Join(parts, sep)
		if width > 0 {
			s = fit(s, width, false)
		}
		return strings.TrimRight(s, " ")
	}
	out := []string{
		line(" | ", func(i int) string { return fit(clean(t.names[i]), widths[i], false) }),
		strings.Replace(line("-+-", func(i int) string { return strings.Repeat("-", widths[i]) }), " ", "-", 1),
	}
	for _, r := range rows {
		out = append(out, line(" | ", func(i int) string { return fit(r[i], widths[i], numeric(t.types[i])) }))
	}
	return out
}

// numeric types are aligned at the right.
func numeric(t string) bool {
	for _, p := range []string{"INT", "BIGINT", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "DECIMAL"} {
		if strings.HasPrefix(t, p) && !strings.HasPrefix(t, "INTERVAL") {
			return true
		}
	}
	return false
}

// plural is a number of things.
func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sum says how much there is; shown is how many rows of it are to be seen.
func (t *liveTable) sum(shown int64) string {
	s := plural(t.live+t.forgotten, "row")
	if t.updates {
		s += ", " + plural(t.changes, "change")
	}
	if total := t.live + t.forgotten; shown < total {
		which := "newest"
		if t.updates {
			which = "first"
		}
		s += fmt.Sprintf("; the %s %d are shown", which, shown)
	}
	return s
}
