// Package examples holds the example jobs, for the demo, the dashboard and for tests. They are files to submit first of all.
package examples

import (
	"embed"
	"io/fs"
	"strings"
)

// Sensors is sensors.sql, the main job.
//
//go:embed sensors.sql
var Sensors string

//go:embed *.sql
var files embed.FS

// Example is a script.
type Example struct {
	// Name is that of its file, without .sql. Title is the first sentence of its first comment.
	Name, Title, Script string
}

// All are the examples, the main job first, then by name.
func All() []Example {
	var all []Example
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil // the pattern is good
	}
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			continue // it was just listed
		}
		e := Example{Name: strings.TrimSuffix(name, ".sql"), Title: titleOf(string(data)), Script: string(data)}
		if e.Name == "sensors" {
			all = append([]Example{e}, all...)
			continue
		}
		all = append(all, e)
	}
	return all
}

// titleOf is the first sentence of a script's first comment, or what comes before a colon in it.
func titleOf(script string) string {
	var text []string
	for line := range strings.Lines(script) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		if comment = strings.TrimSpace(comment); !ok || comment == "" {
			break
		}
		text = append(text, comment)
	}
	title := strings.Join(text, " ")
	for _, end := range []string{". ", ": ", "; "} {
		if i := strings.Index(title, end); i > 0 {
			title = title[:i]
		}
	}
	return strings.TrimSuffix(title, ".")
}
