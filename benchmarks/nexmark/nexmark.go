// Package nexmark embeds the queries of the Nexmark benchmark, as files that Bramble and Flink both run. It runs nothing.
package nexmark

import (
	"cmp"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bramble-stream/bramble/sql/parse"
)

//go:embed *.sql
var files embed.FS

const prelude = "prelude.sql"

// Queries lists what there is, in order: q0, q1, …
func Queries() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // embedded
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".sql"); ok && e.Name() != prelude {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	return out
}

func number(query string) int {
	n, _ := strconv.Atoi(strings.TrimLeft(query, "q")) // others sort first
	return n
}

// About is the first line of a query's file, which says what it does.
func About(query string) string {
	text, err := files.ReadFile(query + ".sql")
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimPrefix(string(text), "-- "), "\n")
	return line
}

// Script is a whole job: the table, the views, and the query, for so many events (0: without end) at so many a second of event time,
// into a connector, "" for blackhole.
func Script(query string, events, rate int64, sink string) (string, error) {
	values := map[string]string{"EVENTS": strconv.FormatInt(events, 10), "RATE": strconv.FormatInt(rate, 10), "SINK": cmp.Or(sink, "blackhole")}
	var script strings.Builder
	for _, name := range []string{prelude, query + ".sql"} {
		text, err := files.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("no Nexmark query %q; there are %s", query, strings.Join(Queries(), ", "))
		}
		script.Write(text)
		script.WriteByte('\n')
	}
	return parse.Substitute(script.String(), func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	})
}
