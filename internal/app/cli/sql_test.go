package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/term"

	"github.com/bramble-stream/bramble/engine/client"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/app"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

func TestSplitStatements(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" -- a; b\n/* ; */", nil},
		{"a;b", []string{"1 a.", "1 b"}},
		{"SELECT ';' -- ;\n, `;` ;\n\nSELECT 'it''s;'", []string{"1 SELECT ';' -- ;\n, `;` .", "4 SELECT 'it''s;'"}},
		{"EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 END FROM b; INSERT INTO c TABLE d; END; x;", []string{
			"1 EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 END FROM b; INSERT INTO c TABLE d; END.", "1 x.",
		}},
		{"SELECT /*+ OPTIONS('a'=';') */ 1;", []string{"1 SELECT /*+ OPTIONS('a'=';') */ 1."}},
		{"'open; ", []string{"1 'open;"}},
	} {
		var got []string
		for _, s := range splitStatements(c.text) {
			end := ""
			if s.whole {
				end = "."
			}
			got = append(got, fmt.Sprint(s.line, " ", s.text, end))
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q:\ngot  %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestLiveTable(t *testing.T) {
	var l liveTable
	l.begin([]*pb.PreviewColumn{{Name: "k", Type: "STRING"}, {Name: "n", Type: "BIGINT"}})
	for _, c := range []struct {
		kind vec.RowKind
		row  string
	}{
		{vec.Insert, `["a",1]`},
		{vec.Insert, `["b",1]`},
		{vec.Insert, `["b",1]`},
		{vec.UpdateBefore, `["a",1]`},
		{vec.UpdateAfter, `["a\u001b[2J",20]`},
		{vec.Delete, `["b",1]`},
		{vec.Insert, `[null,3]`},
	} {
		l.change(c.kind, json.RawMessage(c.row))
	}
	want := " k     | n\n-------+---\n a·[2J | 20\n b     |  1\n NULL  |  3"
	if got := strings.Join(l.lines(10, 0), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := l.sum(1); got != "3 rows, 7 changes; the first 1 are shown" {
		t.Error(got)
	}
}

func TestLiveTableIsBounded(t *testing.T) {
	var l liveTable
	l.begin([]*pb.PreviewColumn{{Name: "n", Type: "BIGINT"}})
	const n = 5 * liveRowsMax
	for i := range n {
		l.change(vec.Insert, json.RawMessage(fmt.Sprintf("[%d]", i)))
	}
	if len(l.rows) > 2*liveRowsMax || l.live+l.forgotten != n {
		t.Errorf("%d rows kept, %d live and %d forgotten of %d", len(l.rows), l.live, l.forgotten, n)
	}
	if got := l.some(1)[0][0]; got != fmt.Sprint(n-1) {
		t.Errorf("the newest is %s", got)
	}
	for i := range 3 * liveRowsMax { // one row that changes again and again
		l.change(vec.UpdateBefore, json.RawMessage(fmt.Sprintf("[%d]", n-1+i)))
		l.change(vec.UpdateAfter, json.RawMessage(fmt.Sprintf("[%d]", n+i)))
	}
	if len(l.rows) > 2*liveRowsMax || len(l.holes) > 0 {
		t.Errorf("%d rows, %d holes", len(l.rows), len(l.holes))
	}
}

// fakeSQL is a cluster that gives two rows.
type fakeSQL struct {
	script string
	name   string
}

func (f *fakeSQL) Preview(_ context.Context, s client.Script, _ int64, _ time.Duration, send func(*pb.PreviewResponse) error) error {
	f.script = s.Text
	if strings.Contains(s.Text, "boom") {
		return fmt.Errorf("%d:8: it failed", strings.Count(s.Text, "\n")+1)
	}
	for _, m := range []*pb.PreviewResponse{
		{Message: &pb.PreviewResponse_Columns{Columns: &pb.PreviewColumns{Columns: []*pb.PreviewColumn{{Name: "x", Type: "INT"}, {Name: "s", Type: "STRING"}}}}},
		{Message: &pb.PreviewResponse_Waiting{Waiting: "needs 2 slots"}},
		{Message: &pb.PreviewResponse_Rows{Rows: &pb.PreviewRows{RowsJson: []byte(`[[1,"a,b"],[2,null]]`), Kinds: []byte{0, 2}}}},
		{Message: &pb.PreviewResponse_End{End: &pb.PreviewEnd{Reason: "maxRows", Rows: 2}}},
	} {
		if err := send(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeSQL) Submit(_ context.Context, s client.Script, name string) (id string, warnings []string, err error) {
	f.script, f.name = s.Text, name
	return "abc", []string{scriptFile + ":9:1: careful"}, nil
}

func (f *fakeSQL) Jobs(context.Context, ...pb.JobState) ([]*pb.JobSummary, error) {
	return []*pb.JobSummary{{JobId: "abc", Name: "house", State: pb.JobState_JOB_STATE_RUNNING}}, nil
}

func (f *fakeSQL) Cancel(_ context.Context, id string) (string, pb.JobState, error) {
	return id, pb.JobState_JOB_STATE_CANCELED, nil
}

func (f *fakeSQL) Stop(_ context.Context, id, _ string, drain bool) (*pb.StopJobResponse, error) {
	return &pb.StopJobResponse{Path: fmt.Sprintf("file:///%s/%t", id, drain)}, nil
}

func newRun(output string) (r *sqlRun, f *fakeSQL, out, errs *bytes.Buffer) {
	f, out, errs = &fakeSQL{}, &bytes.Buffer{}, &bytes.Buffer{}
	r = &sqlRun{out: out, err: errs, output: output, session: &sqlSession{cluster: f, config: map[string]string{}}, clear: func() {}}
	r.query = r.printQuery
	return r, f, out, errs
}

const sqlTables = "CREATE TABLE a (x INT, s STRING NOT NULL)\n WITH ('connector' = 'datagen');\nCREATE VIEW v AS SELECT x FROM a;\nCREATE TABLE b (x INT) WITH ('connector' = 'blackhole');"

func TestSQLStatements(t *testing.T) {
	for _, c := range []struct{ name, output, text, want string }{
		{"tables", "table", "SHOW TABLES;", " table name\n-----------\n a\n b\n v\n"},
		{"drop", "csv", "DROP VIEW v; SHOW TABLES", "table name\na\nb\n"},
		{"describe", "json", "DESCRIBE a", `{"name":"x","type":"INT","null":true,"key":null,"extras":null,"watermark":null}` + "\n" + `{"name":"s","type":"STRING","null":false,"key":null,"extras":null,"watermark":null}` + "\n"},
		{"what is empty is not shown", "table", "DESCRIBE v", " name | type | null\n------+------+-----\n x    | INT  | true\n"},
		{"use", "table", "USE default_database; USE CATALOG default_catalog", "ok\nok\n"},
		{"jobs", "csv", "SHOW JOBS", "job id,job name,status,start time\nabc,house,RUNNING,1970-01-01 00:00:00.000Z\n"},
		{"one job", "csv", "DESCRIBE JOB 'ab'", "job id,job name,status,start time\nabc,house,RUNNING,1970-01-01 00:00:00.000Z\n"},
		{"cancel", "table", "STOP JOB 'abc'", "ok\n"},
		{"stop", "csv", "STOP JOB 'abc' WITH SAVEPOINT WITH DRAIN", "savepoint path\nfile:///abc/true\n"},
		{"select", "table", "SELECT * FROM v", " x | s\n---+-----\n 1 | a,b\n 2 | NULL\n(2 rows, 2 changes; there may be more: it ended at --rows)\n"},
		{"csv", "csv", "SELECT * FROM v", "op,x,s\n+I,1,\"a,b\"\n+U,2,\n"},
		{"json", "json", "SELECT * FROM v", `{"op":"+I","row":{"x":1,"s":"a,b"}}` + "\n" + `{"op":"+U","row":{"x":2,"s":null}}` + "\n"},
		{"insert", "table", "INSERT INTO b SELECT x FROM v", "Job has been submitted with JobID abc\n"},
		{"set", "table", "SET 'parallelism.default' = '2'; SET", "SET 'parallelism.default' = '2';\n"},
		{"show create", "table", "SHOW CREATE TABLE b", "CREATE TABLE default_catalog.default_database.b (\n  x INT\n)\nWITH (\n  'connector' = 'blackhole'\n);\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, out, _ := newRun(c.output)
			if err := r.text(t.Context(), "f.sql", sqlTables+c.text); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", out, c.want)
			}
		})
	}
}

func TestSQLErrorsHavePlaces(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"\nSELECT 1;\n  SELEC 2", `f.sql:6:3: unknown statement "SELEC"`},
		{"\nCREATE VIEW w AS\n SELECT y FROM a;", `f.sql:6:9: column "y" does not exist`},
		{"\n\nSELECT boom", "f.sql:6:8: it failed"},
		{"\nEXPLAIN\nSELECT nope FROM a", `f.sql:6:8: column "nope" does not exist`},
		{"\nDESCRIBE nix", `f.sql:5:10: there is no table or view nix`},
		{"\n STOP JOB x", `f.sql:5:11: expected the job's ID in quotes`},
		{"\nDESCRIBE JOB 'x'", `there is no job x`},
	} {
		r, _, _, _ := newRun("table")
		if err := r.text(t.Context(), "f.sql", sqlTables+c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}

func TestSQLSessionPrecedesQueries(t *testing.T) {
	r, f, _, errs := newRun("table")
	if err := r.text(t.Context(), "", sqlTables+"INSERT INTO b SELECT x FROM a"); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(f.script, "CREATE TABLE a") || !strings.HasSuffix(f.script, ";\nINSERT INTO b SELECT x FROM a") {
		t.Errorf("script %s", f.script)
	}
	if got := errs.String(); got != "warning: 2:1: careful\n" {
		t.Errorf("warnings %q", got)
	}
}

// TestShell types into a shell whose terminal is a buffer.
func TestShell(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	r, f, _, _ := newRun("table")
	in, typed := io.Pipe()
	var screen bytes.Buffer
	sh := &shell{run: r, keys: newKeyboard(in), hist: openHistory(), screen: os.NewFile(^uintptr(0), "none")}
	sh.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{readerFunc(sh.read), &screen}, promptFirst)
	sh.term.History = sh.hist
	complete := app.Completer()
	sh.term.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) { return sh.complete(complete, line, pos, key) }
	r.out, r.err = sh.term, sh.term
	done := make(chan error, 1)
	go func() { done <- sh.loop(t.Context()) }()
	for _, keys := range []string{
		"CREATE TABLE long_name (x INT) WITH ('connector' = 'datag", "\t", "');\r",
		"SELECT rubbish", "\x03", // dropped
		"SELECT x FROM lo", "\t", "\r", "-- more\r", ";\r",
		"SELECT password FROM long_name;\r",
		"\x04",
	} {
		if _, err := io.WriteString(typed, keys); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	typed.Close() //nolint:errcheck // of a pipe
	if !strings.HasSuffix(f.script, "SELECT password FROM long_name") || len(r.session.kept) != 1 || !strings.Contains(r.session.kept[0], "'datagen'") {
		t.Errorf("ran %q, kept %q\n%s", f.script, r.session.kept, &screen)
	}
	if !strings.Contains(screen.String(), "ok\r\n") {
		t.Errorf("the screen:\n%s", &screen)
	}
	again := openHistory()
	want := "CREATE TABLE long_name (x INT) WITH ('connector' = 'datagen');|SELECT x FROM long_name ;"
	if got := strings.Join(again.lines, "|"); got != want {
		t.Errorf("history %q\nwant    %q", got, want)
	}
	if again.At(0) != again.lines[1] {
		t.Error("the newest comes first")
	}
}
