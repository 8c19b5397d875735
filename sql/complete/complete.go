// Package complete says how a SQL script, which need not be whole or right, may go on at a place: with keywords, tables and columns of the script,
// functions, options of connectors. It plans nothing and needs no syntax tree.
package complete

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Catalog is what there is beside the script.
type Catalog struct {
	Connectors map[string]*op.Connector
	// TableOptions are those of every table, Settings the keys of SET.
	TableOptions []op.Option
	Settings     []string
	// Functions and Aggregates are names.
	Functions, Aggregates []string
}

// Kinds of items.
const (
	Keyword   = "keyword"
	Table     = "table"
	Column    = "column"
	Function  = "function"
	Option    = "option"
	Connector = "connector"
)

// Item is a proposal. Insert replaces what lies between Result's column and the cursor.
type Item struct {
	Label, Kind, Detail, Insert string
}

// Result are proposals, the likeliest first, for what begins at a column of the cursor's line.
type Result struct {
	Column int
	Items  []Item
}

// itemsMax bounds the proposals: nobody reads on.
const itemsMax = 60

// At proposes for the cursor at a line and column, which count from 1.
func At(script string, line, column int, c Catalog) Result {
	at := offset(script, line, column)
	s := site{catalog: c, tables: tablesOf(scan(script))}
	var current *token
	tokens := scan(script)
	for i := range tokens {
		t := tokens[i]
		switch {
		case t.start >= at:
		case t.end > at || t.end == at && (t.kind == word || t.kind == number || t.open):
			current = &t
		case t.is(";"):
			s.before = nil
			s.words = nil
		case t.kind != comment:
			s.before = append(s.before, t)
		}
		if t.start >= at && t.is(";") {
			break
		}
		if t.kind != comment {
			s.words = append(s.words, t)
		}
	}
	from, items := at, []Item(nil)
	switch {
	case current == nil:
		items = s.code()
	case current.kind == comment || current.kind == number:
	case current.kind == text:
		from = current.start + 1
		items = s.inString()
	case current.kind == quoted:
		from = current.start + 1
		items = s.names()
	case current.kind == word:
		from = current.start
		items = s.code()
	}
	return Result{Column: columnOf(script, from), Items: choose(items, script[from:at])}
}

// choose keeps what fits what was typed: those that begin so first, then those that contain it.
func choose(items []Item, typed string) []Item {
	typed = strings.ToLower(typed)
	seen := map[string]bool{}
	var begin, within []Item
	for _, i := range items {
		label := strings.ToLower(i.Label)
		key := i.Kind + " " + label
		switch {
		case seen[key] || label == typed && i.Kind == Keyword:
			continue
		case strings.HasPrefix(label, typed):
			begin = append(begin, i)
		case len(typed) > 1 && strings.Contains(label, typed):
			within = append(within, i)
		default:
			continue
		}
		seen[key] = true
	}
	all := append(begin, within...)
	return all[:min(len(all), itemsMax)]
}

// site is the statement around the cursor.
type site struct {
	catalog Catalog
	tables  []table
	// before are its tokens before the cursor, words all of them as far as they are known.
	before, words []token
}

// last is the n-th token before the cursor, from 1.
func (s *site) last(n int) token {
	if n > len(s.before) {
		return token{kind: mark}
	}
	return s.before[len(s.before)-n]
}

// within reports whether the cursor is in the parentheses that a word opens, and how many commas are before it there.
func (s *site) within() (opener string, from int) {
	depth := 0
	for i, t := range slices.Backward(s.before) {
		switch {
		case t.is(")"):
			depth++
		case t.is("(") && depth > 0:
			depth--
		case t.is("("):
			if i > 0 {
				return s.before[i-1].upper(), i
			}
			return "", i
		}
	}
	return "", -1
}

// inString proposes for a string literal.
func (s *site) inString() []Item {
	if s.first() == "SET" {
		return settings(s.catalog.Settings)
	}
	opener, from := s.within()
	if opener != "WITH" && opener != "OPTIONS" {
		return nil
	}
	if s.last(1).is("=") {
		return s.values(s.last(2).name(), from)
	}
	return s.options(from, func(key string) string { return key })
}

func (s *site) first() string {
	if len(s.before) == 0 {
		return ""
	}
	return s.before[0].upper()
}

func settings(keys []string) []Item {
	var items []Item
	for _, k := range keys {
		items = append(items, Item{k, Option, "setting", k})
	}
	return items
}

// connector is the one that the clause from a token on names, nil for none.
func (s *site) connector(from int) *op.Connector {
	for i := 0; i+2 < len(s.words); i++ {
		if s.words[i].kind == text && s.words[i].name() == "connector" && s.words[i+1].is("=") && s.words[i].start >= s.before[from].start {
			return s.catalog.Connectors[s.words[i+2].name()]
		}
	}
	return nil
}

// options proposes keys of a WITH clause, without those that it has.
func (s *site) options(from int, insert func(string) string) []Item {
	has := map[string]bool{}
	for i := from; i+1 < len(s.before); i++ {
		if s.before[i].kind == text && s.before[i+1].is("=") {
			has[s.before[i].name()] = true
		}
	}
	var items []Item
	add := func(key, detail string) {
		if !has[key] {
			items = append(items, Item{key, Option, detail, insert(key)})
		}
	}
	c := s.connector(from)
	add("connector", "what reads or writes the table")
	if c == nil {
		return items
	}
	// Those that a table cannot do without come first.
	all := slices.Clone(c.Options)
	sorting.StableBy(all, func(a, b op.Option) int { return cmp.Compare(rank(a), rank(b)) })
	for _, o := range append(all, s.catalog.TableOptions...) {
		detail := o.Doc
		if o.Required {
			detail = "required: " + detail
		} else if o.Default != "" {
			detail += " (default " + o.Default + ")"
		}
		add(o.Key, detail)
	}
	return items
}

func rank(o op.Option) int {
	if o.Required {
		return 0
	}
	return 1
}

// values proposes values of an option.
func (s *site) values(key string, from int) []Item {
	if key == "connector" {
		var items []Item
		for name, c := range s.catalog.Connectors {
			what := "source and sink"
			switch {
			case c.Modes == nil:
				what = "source"
			case c.NewSource == nil:
				what = "sink"
			}
			items = append(items, Item{name, Connector, what, name})
		}
		sorting.By(items, func(a, b Item) int { return cmp.Compare(a.Label, b.Label) })
		return items
	}
	var known []op.Option
	if c := s.connector(from); c != nil {
		known = c.Options
	}
	var items []Item
	for _, o := range append(slices.Clone(known), s.catalog.TableOptions...) {
		if o.Key != key {
			continue
		}
		list := o.Enum
		if o.Kind == op.OptionBool {
			list = []string{"true", "false"}
		}
		for _, v := range list {
			detail := ""
			if v == o.Default {
				detail = "default"
			}
			items = append(items, Item{v, Option, detail, v})
		}
	}
	return items
}
