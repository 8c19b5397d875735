package parse

import "strings"

// CommandKind says what a Command asks for.
type CommandKind uint8

// The commands.
const (
	ShowCatalogs CommandKind = iota
	ShowCurrentCatalog
	ShowDatabases
	ShowCurrentDatabase
	ShowTables
	ShowViews
	ShowColumns
	ShowCreateTable
	ShowCreateView
	ShowFunctions
	ShowModules
	ShowJars
	ShowJobs
	DescribeTable
	DescribeJob
	UseCatalog
	UseDatabase
	StopJob
)

// Command is a statement about a session or about jobs, which a script cannot hold: SHOW, DESCRIBE, USE, STOP JOB.
type Command struct {
	Span
	Kind CommandKind
	// Name is of the table, view, catalog or database; no parts where none was written.
	Name Name
	// Like is the pattern of LIKE or ILIKE, nil without one. AnyCase says ILIKE, NotLike NOT before either.
	Like             *Text
	AnyCase, NotLike bool
	// Full is of SHOW FULL MODULES, User of SHOW USER FUNCTIONS.
	Full, User bool
	// Job is the ID of DESCRIBE JOB and STOP JOB; the others say WITH SAVEPOINT and WITH DRAIN.
	Job              Text
	Savepoint, Drain bool
}

// ParseCommand parses a command with or without its semicolon. ok is false when src begins like something else, and then nothing is wrong. The error is an
// *Error.
func ParseCommand(file, src string) (c *Command, ok bool, err error) {
	p, perr := newParser(file, src)
	if perr != nil {
		return nil, false, nil //nolint:nilerr // who parses it as a script will say so
	}
	for p.acceptOp(";") {
	}
	t := p.cur()
	if t.kind != tokWord {
		return nil, false, nil
	}
	switch t.kw {
	case "SHOW", "DESCRIBE", "DESC", "USE", "STOP":
	default:
		return nil, false, nil
	}
	c = &Command{}
	from := p.i
	p.command(c)
	c.Span = p.span(from)
	for p.acceptOp(";") {
	}
	if err := p.finish("statement"); err != nil {
		return nil, true, err
	}
	return c, true, nil
}

func (p *parser) command(c *Command) {
	switch p.next().kw {
	case "SHOW":
		p.showWhat(c)
	case "USE":
		c.Kind = UseDatabase
		if p.accept("CATALOG") {
			c.Kind = UseCatalog
		}
		c.Name = p.name("a name")
	case "STOP":
		p.expect("JOB")
		c.Kind, c.Job = StopJob, p.text("the job's ID in quotes")
		for p.accept("WITH") {
			switch p.acceptAny("SAVEPOINT", "DRAIN") {
			case "SAVEPOINT":
				c.Savepoint = true
			case "DRAIN":
				c.Drain = true
			default:
				p.unexpected("SAVEPOINT", "DRAIN")
			}
		}
	default: // DESCRIBE
		if p.isKw("JOB") && p.peek(1).kind == tokString {
			p.next()
			c.Kind, c.Job = DescribeJob, p.text("the job's ID in quotes")
			return
		}
		p.accept("EXTENDED")
		p.accept("TABLE")
		c.Kind, c.Name = DescribeTable, p.name("a table")
	}
}

// showWhat parses what follows SHOW.
func (p *parser) showWhat(c *Command) {
	what := p.acceptAny("CATALOGS", "CURRENT", "DATABASES", "TABLES", "VIEWS", "COLUMNS", "CREATE", "USER", "FUNCTIONS", "FULL", "MODULES", "JARS", "JOBS")
	switch what {
	case "CURRENT":
		switch p.acceptAny("CATALOG", "DATABASE") {
		case "CATALOG":
			c.Kind = ShowCurrentCatalog
		case "DATABASE":
			c.Kind = ShowCurrentDatabase
		default:
			p.unexpected("CATALOG", "DATABASE")
		}
	case "CREATE":
		switch p.acceptAny("TABLE", "VIEW") {
		case "TABLE":
			c.Kind = ShowCreateTable
		case "VIEW":
			c.Kind = ShowCreateView
		default:
			p.unexpected("TABLE", "VIEW")
		}
		c.Name = p.name("a name")
	case "COLUMNS":
		c.Kind = ShowColumns
		if p.acceptAny("FROM", "IN") == "" {
			p.unexpected("FROM")
		}
		c.Name = p.name("a name")
		p.commandLike(c)
	case "FULL", "MODULES":
		c.Kind, c.Full = ShowModules, what == "FULL"
		if c.Full {
			p.expect("MODULES")
		}
	case "":
		t := p.cur()
		p.fail(t, DidYouMean(t.val, strings.Fields("CATALOGS DATABASES TABLES VIEWS COLUMNS FUNCTIONS JOBS")), "there is no SHOW %s", strings.ToUpper(t.val))
	default:
		c.Kind = map[string]CommandKind{
			"CATALOGS": ShowCatalogs, "DATABASES": ShowDatabases, "TABLES": ShowTables, "VIEWS": ShowViews, "USER": ShowFunctions,
			"FUNCTIONS": ShowFunctions, "JARS": ShowJars, "JOBS": ShowJobs,
		}[what]
		if what == "USER" {
			c.User = true
			p.expect("FUNCTIONS")
		}
		if p.acceptAny("FROM", "IN") != "" {
			c.Name = p.name("a name")
		}
		p.commandLike(c)
	}
}

// commandLike parses [NOT] LIKE|ILIKE 'pattern'.
func (p *parser) commandLike(c *Command) {
	c.NotLike = p.accept("NOT")
	switch p.acceptAny("LIKE", "ILIKE") {
	case "ILIKE":
		c.AnyCase = true
	case "":
		if c.NotLike {
			p.unexpected("LIKE", "ILIKE")
		}
		return
	}
	t := p.text("a pattern in quotes")
	c.Like = &t
}
