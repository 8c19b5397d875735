package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// sqlOptions are the flags of bramble sql.
type sqlOptions struct {
	files, texts []string
	initial      string
	rows         int64
	timeout      time.Duration
	script       scriptFlags
}

func (c *cli) sql() *cobra.Command {
	var o sqlOptions
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "SQL shell: SELECTs show their rows, INSERTs run as jobs; -f, -e and piped input without a dialogue",
		Long: "sql reads statements, each ended by a semicolon. CREATE, DROP, SET and RESET are kept for the session; a SELECT shows its rows as they come\n" +
			"and ends with q or Ctrl-C; INSERT and EXECUTE STATEMENT SET are submitted as jobs. HELP lists the rest.\n" +
			"With -f, -e or piped input it runs what it is given and stops at the first mistake; --output is table, json (an object a row) or csv then.",
		Args: app.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runSQL(cmd.Context(), cmd.InOrStdin(), &o) },
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&o.files, "file", "f", nil, "run the statements of this file, - for the standard input (repeatable)")
	fs.StringArrayVarP(&o.texts, "execute", "e", nil, "run these statements, after those of files (repeatable)")
	fs.StringVarP(&o.initial, "init", "i", "", "run the statements of this file first, then go on as without it")
	fs.Int64Var(&o.rows, "rows", 0, "end each SELECT after as many rows, each change counted (default no limit)")
	fs.DurationVar(&o.timeout, "timeout", 0, "end each SELECT after this time (default no limit)")
	o.script.add(cmd)
	return cmd
}

// sqlRun runs statements.
type sqlRun struct {
	out, err io.Writer
	output   string
	session  *sqlSession
	rows     int64
	timeout  time.Duration
	// query shows the rows of a SELECT.
	query func(ctx context.Context, stmt string) error
	// clear empties the screen.
	clear func()
}

// errQuit ends the session.
var errQuit = errors.New("quit")

func (c *cli) runSQL(ctx context.Context, in io.Reader, o *sqlOptions) error {
	if o.rows < 0 || o.timeout < 0 {
		return app.Usagef("--rows and --timeout: at least 0")
	}
	session := &sqlSession{config: map[string]string{}, defines: map[string]string{}, parallelism: o.script.parallelism}
	for _, d := range o.script.defines {
		key, value, ok := strings.Cut(d, "=")
		if !ok || key == "" {
			return app.Usagef("-D %q: want KEY=VALUE", d)
		}
		session.defines[key] = value
		if strings.Contains(key, ".") || key == "restart-strategy" {
			session.config[key] = value
		}
	}
	return c.connect(func(cl *client.Client) error {
		session.cluster = cl
		r := &sqlRun{out: c.out, err: c.err, output: c.output, session: session, rows: o.rows, timeout: o.timeout, clear: func() {}}
		r.query = r.printQuery
		if o.initial != "" {
			if err := r.file(ctx, o.initial, in); err != nil {
				return err
			}
		}
		for _, f := range o.files {
			if err := r.file(ctx, f, in); err != nil {
				return quitIsFine(err)
			}
		}
		for _, text := range o.texts {
			if err := r.text(ctx, "", text); err != nil {
				return quitIsFine(err)
			}
		}
		if len(o.files)+len(o.texts) > 0 {
			return nil
		}
		keys, isKeys := in.(*os.File)
		screen, isScreen := c.out.(*os.File)
		if isKeys && isScreen && term.IsTerminal(int(keys.Fd())) && term.IsTerminal(int(screen.Fd())) { //nolint:gosec // descriptors are small
			return quitIsFine(c.shell(ctx, r, keys, screen))
		}
		return quitIsFine(r.file(ctx, "-", in))
	})
}

func quitIsFine(err error) error {
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

// file runs the statements of a file.
func (r *sqlRun) file(ctx context.Context, path string, in io.Reader) error {
	data, err := readScript(path, in)
	if err != nil {
		return err
	}
	if path == "-" {
		path = "<stdin>"
	}
	return r.text(ctx, path, string(data))
}

// text runs statements until one fails. Positions in errors count from the text's beginning.
func (r *sqlRun) text(ctx context.Context, file, text string) error {
	for _, s := range splitStatements(text) {
		err := r.statement(ctx, s.text)
		var placed *placedError
		switch {
		case err == nil:
			continue
		case errors.As(err, &placed) && placed.line > 0:
			name := file
			if name == "" {
				name = "-e"
			}
			return errors.New(place.ReplaceAllStringFunc(placed.message, func(m string) string {
				var line, column int
				fmt.Sscanf(m, "%d:%d", &line, &column) //nolint:errcheck // it matched
				if line == 1 {
					column += s.column - 1
				}
				return fmt.Sprintf("%s:%d:%d: ", name, line+s.line-1, column)
			}))
		}
		return err
	}
	return nil
}

const sqlHelp = `Statements end with a semicolon.
  CREATE TABLE, CREATE VIEW, DROP, SET, RESET   kept for this session
  SELECT, WITH, VALUES                          shows the rows; q or Ctrl-C ends it
  INSERT INTO, EXECUTE STATEMENT SET            submits a job
  EXPLAIN                                       shows the plans
  SHOW TABLES, SHOW CREATE TABLE t, DESCRIBE t  what this session has; also SHOW VIEWS, FUNCTIONS LIKE 'a%'
  SHOW JOBS, STOP JOB 'id' WITH SAVEPOINT       what runs; bramble status and cancel tell and do more
  SET                                           the settings that were made
  CLEAR, HELP, QUIT                             or Ctrl-D
Tab completes, arrows go through the history, Ctrl-C drops what was typed.
`

// statement runs one.
func (r *sqlRun) statement(ctx context.Context, stmt string) error {
	stmt, err := r.session.substituted(stmt)
	if err != nil {
		return err
	}
	switch verbOf(stmt) {
	case verbKeep:
		return r.session.keep(stmt)
	case verbQuery:
		return r.query(ctx, stmt)
	case verbJob:
		return r.submit(ctx, stmt)
	case verbExplain:
		text, err := r.session.explain(stmt)
		fmt.Fprint(r.out, text)
		return err
	case verbCommand:
		return r.command(ctx, stmt)
	case verbSet:
		for _, k := range r.session.kept {
			if w := words(k, 1); len(w) == 1 && (w[0] == "SET" || w[0] == "RESET") {
				fmt.Fprintln(r.out, k+";")
			}
		}
		return nil
	case verbHelp:
		fmt.Fprint(r.out, sqlHelp)
		return nil
	case verbClear:
		r.clear()
		return nil
	case verbQuit:
		return errQuit
	}
	return nil
}

func (r *sqlRun) submit(ctx context.Context, stmt string) error {
	script, before := r.session.clientScript(stmt)
	id, warnings, err := r.session.cluster.Submit(ctx, script, "")
	if err != nil {
		return r.session.placed(err, before)
	}
	for _, w := range warnings {
		fmt.Fprintln(r.err, "warning:", r.session.placed(errors.New(w), before))
	}
	if r.output == "json" {
		return json.NewEncoder(r.out).Encode(map[string]string{"jobId": id})
	}
	fmt.Fprintln(r.out, "Job has been submitted with JobID", id)
	return nil
}

// preview runs a SELECT; its errors are placed.
func (r *sqlRun) preview(ctx context.Context, stmt string, f func(*pb.PreviewResponse) error) error {
	script, before := r.session.clientScript(stmt)
	return r.session.placed(r.session.cluster.Preview(ctx, script, r.rows, r.timeout, f), before)
}

// printQuery prints the rows of a SELECT: a table when it has ended, objects and lines as they come.
func (r *sqlRun) printQuery(ctx context.Context, stmt string) error {
	var t liveTable
	show := func(m *pb.PreviewRows) error { return t.apply(m) }
	switch r.output {
	case "json":
		show = func(m *pb.PreviewRows) error { return printObjects(r.out, t.names, m) }
	case "csv":
		w := csv.NewWriter(r.out)
		show = func(m *pb.PreviewRows) error { return printRecords(w, m) }
	}
	why := ""
	err := r.preview(ctx, stmt, func(m *pb.PreviewResponse) error {
		switch m := m.Message.(type) {
		case *pb.PreviewResponse_Columns:
			t.begin(m.Columns.Columns)
			if r.output == "csv" {
				w := csv.NewWriter(r.out)
				w.Write(append([]string{"op"}, t.names...)) //nolint:errcheck // Error tells
				w.Flush()
				return w.Error()
			}
		case *pb.PreviewResponse_Waiting:
			if m.Waiting != "" {
				fmt.Fprintln(r.err, "waiting:", m.Waiting)
			}
		case *pb.PreviewResponse_Rows:
			return show(m.Rows)
		case *pb.PreviewResponse_End:
			why = m.End.Reason
		}
		return nil
	})
	if interrupted(err) && ctx.Err() != nil { // Ctrl-C: what has come is shown
		err = nil
		why = "interrupted"
	}
	if err != nil || r.output != "table" || t.names == nil {
		return err
	}
	printTable(r.out, &t, liveRowsMax, why)
	return nil
}

// printTable prints a table with what there is to say about it.
func printTable(out io.Writer, t *liveTable, most int, why string) {
	for _, line := range t.lines(most, 0) {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "(%s%s)\n", t.sum(min(t.live, int64(most))), endText(why))
}

// endText is why a preview ended, for people.
func endText(why string) string {
	switch why {
	case "", "finished":
		return ""
	case "maxRows":
		return "; there may be more: it ended at --rows"
	case "timeout":
		return "; there may be more: it ended at --timeout"
	}
	return "; there may be more: " + why
}

// printObjects prints a row a line: {"op":"+I","row":{…}}, columns in their order.
func printObjects(out io.Writer, names []string, m *pb.PreviewRows) error {
	return eachRow(m, func(kind vec.RowKind, values []json.RawMessage) error {
		if len(values) != len(names) {
			return fmt.Errorf("a row from the jobmanager has %d values in place of %d", len(values), len(names))
		}
		line := append([]byte(`{"op":"`), kind.String()...)
		line = append(line, `","row":{`...)
		for i, v := range values {
			if i > 0 {
				line = append(line, ',')
			}
			name, err := json.Marshal(names[i])
			if err != nil {
				return err
			}
			line = append(append(append(line, name...), ':'), v...)
		}
		_, err := out.Write(append(line, "}}\n"...))
		return err
	})
}

// printRecords prints a row a line, NULL as nothing.
func printRecords(w *csv.Writer, m *pb.PreviewRows) error {
	err := eachRow(m, func(kind vec.RowKind, values []json.RawMessage) error {
		record := []string{kind.String()}
		for _, v := range values {
			var s string
			switch {
			case string(v) == "null":
			case v[0] == '"' && json.Unmarshal(v, &s) == nil:
			default:
				s = string(v)
			}
			record = append(record, s)
		}
		return w.Write(record)
	})
	w.Flush()
	return errors.Join(err, w.Error())
}

func eachRow(m *pb.PreviewRows, f func(kind vec.RowKind, values []json.RawMessage) error) error {
	var rows [][]json.RawMessage
	if err := json.Unmarshal(m.RowsJson, &rows); err != nil {
		return fmt.Errorf("rows from the jobmanager: %w", err)
	}
	for i, values := range rows {
		kind := vec.Insert
		if i < len(m.Kinds) {
			kind = vec.RowKind(m.Kinds[i])
		}
		if err := f(kind, values); err != nil {
			return err
		}
	}
	return nil
}
