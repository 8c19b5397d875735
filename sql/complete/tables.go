package complete

import "strings"

// table is a table or view that the script makes.
type table struct {
	// written is its name as it stands in the script, with quotes where there are some.
	name, written, what string
	columns             []column
}

type column struct{ name, written, detail string }

func (t table) items() []Item {
	var items []Item
	for _, c := range t.columns {
		items = append(items, Item{c.name, Column, strings.TrimSpace(c.detail + " of " + t.name), c.written})
	}
	return items
}

// tablesOf finds CREATE TABLE and CREATE VIEW.
func tablesOf(tokens []token) []table {
	var all []table
	for i := 0; i < len(tokens); i++ {
		if tokens[i].upper() != "CREATE" {
			continue
		}
		k := i + 1
		for k < len(tokens) && tokens[k].upper() == "TEMPORARY" {
			k++
		}
		if k >= len(tokens) || tokens[k].upper() != "TABLE" && tokens[k].upper() != "VIEW" {
			continue
		}
		t := table{what: strings.ToLower(tokens[k].raw())}
		k++
		for k < len(tokens) && (tokens[k].upper() == "IF" || tokens[k].upper() == "NOT" || tokens[k].upper() == "EXISTS") {
			k++
		}
		if k >= len(tokens) || tokens[k].kind > quoted {
			continue
		}
		t.name, t.written = tokens[k].name(), tokens[k].raw()
		k++
		switch {
		case k < len(tokens) && tokens[k].is("("):
			t.columns = columnsIn(tokens[k+1:])
		case t.what == "view":
			t.columns = selected(tokens[k:])
		}
		all = append(all, t)
		i = k - 1
	}
	return all
}

// columnsIn are those of a list that has just been opened.
func columnsIn(tokens []token) []column {
	var all []column
	depth, begins := 0, true
	for _, t := range tokens {
		switch {
		case t.kind == comment:
			continue
		case t.is("("):
			depth++
		case t.is(")") && depth == 0, t.is(";"):
			return all
		case t.is(")"):
			depth--
		case t.is(",") && depth == 0:
			begins = true
			continue
		case begins && t.kind <= quoted:
			switch t.upper() {
			case "PRIMARY", "WATERMARK", "CONSTRAINT", "UNIQUE":
			default:
				all = append(all, column{name: t.name(), written: t.raw()})
			}
		case !begins && depth == 0 && len(all) > 0 && all[len(all)-1].detail == "" && t.kind == word && t.upper() != "AS":
			all[len(all)-1].detail = t.upper()
		}
		begins = false
	}
	return all
}

// selected are the columns of a view's query, as far as they have a name: the last one of each item.
func selected(tokens []token) []column {
	var all []column
	var last token
	depth, in := 0, false
	for _, t := range tokens {
		switch {
		case t.kind == comment:
			continue
		case t.is(";"):
			return all
		case !in:
			in = t.upper() == "SELECT"
			continue
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth == 0 && (t.is(",") || t.upper() == "FROM"):
			if last.kind <= quoted && last.end > 0 {
				all = append(all, column{name: last.name(), written: last.raw()})
			}
			if t.upper() == "FROM" {
				return all
			}
		}
		last = t
	}
	return all
}
