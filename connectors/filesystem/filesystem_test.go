package filesystem

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/connectors/conformance"
	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

func read(t testing.TB, path string, options ...string) (rows, bad []string) {
	t.Helper()
	spec := table(path, numbers, options...)
	splits, err := Connector().Splits(t.Context(), spec, 2)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSource(spec)
	if err != nil {
		t.Fatal(err)
	}
	env := conformance.NewEnv(t, 0, 1, true)
	if err := s.Open(env.Context, splits); err != nil {
		t.Fatal(err)
	}
	b := vec.NewBatch(numbers)
	for s.unread() >= 0 {
		b.Reset()
		if _, err := s.Poll(t.Context(), b, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows() {
			rows = append(rows, conformance.RowText(b, i))
		}
	}
	return rows, env.Reasons()
}

func TestWhatIsRead(t *testing.T) {
	gz := func(content string) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	long := strings.Repeat("x", format.MaxMessageBytes+3*chunkBytes)
	for _, c := range []struct {
		name, content string
		options       []string
		want          string
		bad           int
	}{
		{"a", "", nil, "", 0},
		{"a", "1,a\n2,b\n", []string{"format", "csv"}, `1 "a"|2 "b"`, 0},
		{"a", "1,a\r\n\r\n2,b", []string{"format", "csv"}, `1 "a"|2 "b"`, 0},
		{"a", "n,s\n1,a\n", []string{"format", "csv", "source.skip-lines", "1"}, `1 "a"`, 0},
		{"a", "\xef\xbb\xbf1,a\n", []string{"format", "csv"}, `1 "a"`, 0},
		{"a", "1,\"two\nlines\"\n3,c\n", []string{"format", "csv"}, `1 "two\nlines"|3 "c"`, 0},
		{"a", "{\"n\":1}\n\n[{\"n\":2},{\"n\":3}]\n \n", nil, `1 null|2 null|3 null`, 0},
		{"a", "{\"n\":1,\"s\":\"\xff\"}\nnonsense\n{\"n\":2}", nil, `2 null`, 2},
		{"a", "{\"n\":1}\n" + long + "\n{\"n\":2}\n" + long, nil, `1 null|2 null`, 2},
		{"a.gz", gz("{\"n\":1}\n{\"n\":2}\n"), nil, `1 null|2 null`, 0},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, c.name), c.content)
		rows, bad := read(t, dir, c.options...)
		if got := strings.Join(rows, "|"); got != c.want || len(bad) != c.bad {
			t.Errorf("%.40q (%d bytes) %v: rows %s, refused %q; want %s and %d refused", c.content, len(c.content), c.options, got, bad, c.want, c.bad)
		}
	}
}

func TestWhichFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a.json", "b.txt", "sub/c.json", ".hidden", "_temporary/d.json", "sub/.e.json"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), fmt.Sprintf("{\"n\":%d}", i))
	}
	if err := os.Symlink(dir, dir+"-link"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "0 1 2", "file://" + dir: "0 1 2", dir + "-link": "0 1 2", dir + "/*.json": "0", dir + "/a.json": "0", dir + "/sub": "2", dir + "/s*": "2", dir + "/.hidden": "3",
	} {
		rows, _ := read(t, path)
		if got := strings.ReplaceAll(strings.Join(rows, " "), " null", ""); got != want {
			t.Errorf("%s: rows %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{dir + "/gone", dir + "/*.gone"} {
		_, err := Connector().Splits(t.Context(), table(path, numbers), 1)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("the error of %s is %v", path, err)
		}
	}
	for _, path := range []string{"", "s3://bucket/x", "file://host/x"} {
		if err := Connector().Check(table(path, numbers), false); err == nil {
			t.Errorf("the path %q is taken", path)
		}
	}
}

func TestMetadataAndPartitions(t *testing.T) {
	dir := t.TempDir()
	schema := vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "room", Type: vec.TypeString}, vec.Field{Name: "day", Type: vec.TypeDate})
	spec := table(filepath.Join(dir, "t"), schema)
	spec.PartitionKeys = []int{1, 2}
	sink, err := newSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	env := conformance.NewEnv(t, 3, 4, false)
	if err := sink.Open(env.Context); err != nil {
		t.Fatal(err)
	}
	b := vec.NewBatch(schema)
	for i, room := range []string{"a/b=c: d%", "", "ü", "NULL"} {
		vec.AppendValue(b.Col(0), int64(i))
		if room == "NULL" {
			b.Col(1).AppendNull()
		} else {
			b.Col(1).AppendString(room)
		}
		vec.AppendValue(b.Col(2), int32(i))
		b.SetRows(i + 1)
	}
	commit(t, sink, b)
	for _, want := range []string{"room=a%2Fb%3Dc%3A d%25/day=1970-01-01", "room=__HIVE_DEFAULT_PARTITION__/day=1970-01-02", "room=ü/day=1970-01-03"} {
		if names, _ := filepath.Glob(filepath.Join(strings.NewReplacer("[", "\\[").Replace(filepath.Join(dir, "t", want)), "part-01234567-fedcba98-3-*")); len(names) != 1 {
			t.Errorf("%s holds %v", want, names)
		}
	}
	got := conformance.ReadTable(t, Connector(), spec, 1<<30)
	slices.Sort(got)
	want := []string{`0 "a/b=c: d%" "1970-01-01"`, `1 null "1970-01-02"`, `2 "ü" "1970-01-03"`, `3 null "1970-01-04"`}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	write(t, filepath.Join(dir, "m.json"), "{}\n")
	meta := table(filepath.Join(dir, "m.json"), vec.NewSchema(vec.Field{Name: "n", Type: vec.TypeInt64}, vec.Field{Name: "p", Type: vec.TypeString}, vec.Field{Name: "f", Type: vec.TypeString},
		vec.Field{Name: "z", Type: vec.TypeInt64}, vec.Field{Name: "m", Type: vec.TypeTimestampLTZ}))
	meta.Metadata = []string{"", "file.path", "file.name", "file.size", "file.modification-time"}
	if err := os.Chtimes(filepath.Join(dir, "m.json"), time.Unix(0, 0), time.UnixMilli(1500)); err != nil {
		t.Fatal(err)
	}
	if got, want := conformance.ReadTable(t, Connector(), meta, 1)[0], fmt.Sprintf(`null %q "m.json" 3 "1970-01-01 00:00:01.500Z"`, filepath.Join(dir, "m.json")); got != want {
		t.Errorf("metadata %s, want %s", got, want)
	}
}

func commit(t testing.TB, s *sink, b *vec.Batch) {
	t.Helper()
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	c, err := s.Prepare(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), 1, c); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.Replace(e.Name(), "part-01234567-fedcba98-0-", "", 1))
	}
	return strings.Join(out, " ")
}

type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time { return c.now }

// open opens a sink of numbers in dir, with a clock to move on.
func openSink(t testing.TB, dir string, checkpointing bool, options ...string) (*sink, *fakeClock) {
	t.Helper()
	s, err := newSink(table(dir, numbers, options...))
	if err != nil {
		t.Fatal(err)
	}
	env := conformance.NewEnv(t, 0, 1, false)
	clock := &fakeClock{}
	env.Clock, env.Checkpointing = clock, checkpointing
	if err := s.Open(env.Context); err != nil {
		t.Fatal(err)
	}
	return s, clock
}

func someRows(n int) *vec.Batch {
	b := vec.NewBatch(numbers)
	for i := range n {
		vec.AppendValue(b.Col(0), int64(i))
		b.Col(1).AppendString("0123456789")
	}
	b.SetRows(n)
	return b
}

func TestRollingWithoutCheckpoints(t *testing.T) {
	dir := t.TempDir()
	s, clock := openSink(t, dir, false, "sink.rolling-policy.file-size", "100b", "sink.rolling-policy.rollover-interval", "1 min")
	step := func(rows int, want string) {
		t.Helper()
		if err := s.Write(t.Context(), someRows(rows)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); got != want {
			t.Fatalf("files %s, want %s", got, want)
		}
	}
	step(1, ".0.inprogress")
	step(3, "0")
	step(1, ".1.inprogress 0")
	clock.now = clock.now.Add(time.Minute)
	step(0, "0 1")
	step(1, ".2.inprogress 0 1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != ".2.inprogress 0 1" {
		t.Fatalf("after a cancelled job there is %s", got)
	}
	s, _ = openSink(t, dir, false)
	if got := names(t, dir); got != "0 1" {
		t.Fatalf("after the next Open there is %s", got)
	}
	commit(t, s, someRows(1))
	if got := names(t, dir); got != "0 1 3" {
		t.Fatalf("after the next file there is %s", got)
	}
}

func TestPendingFilesOfAFailedCheckpointGo(t *testing.T) {
	dir := t.TempDir()
	for _, other := range []string{"part-01234567-fedcba98-1-0", ".part-01234567-aaaaaaaa-0-1.inprogress", ".part-99999999-fedcba98-0-1.inprogress", ".part-01234567-fedcba98-0-x.inprogress"} {
		write(t, filepath.Join(dir, other), "{}\n")
	}
	others := names(t, dir)
	s, _ := openSink(t, dir, true)
	var prepared [][]byte
	for epoch := range 2 {
		if err := s.Write(t.Context(), someRows(1)); err != nil {
			t.Fatal(err)
		}
		c, err := s.Prepare(t.Context(), stream.Epoch(epoch+1))
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, c)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openSink(t, dir, true)
	if err := s.Commit(t.Context(), 1, prepared[0]); err != nil { // the second checkpoint failed
		t.Fatal(err)
	}
	if got := names(t, dir); !strings.Contains(got, ".1.pending") {
		t.Fatalf("the second checkpoint's file went too soon: %s", got)
	}
	if err := s.Write(t.Context(), someRows(1)); err != nil {
		t.Fatal(err)
	}
	c, err := s.Prepare(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), 3, c); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); strings.Contains(got, ".pending") || !strings.Contains(got, " 0 2") && !strings.Contains(got, "0 2") {
		t.Fatalf("files are %s", got)
	}
	for _, name := range strings.Fields(others) {
		if !strings.Contains(names(t, dir), name) {
			t.Errorf("%s, which is another's, is gone", name)
		}
	}
	if err := s.Commit(t.Context(), 3, []byte(`[{"temp":"../x","final":"y"}]`)); err == nil {
		t.Error("a path outside the table is taken")
	}
	if err := s.Commit(t.Context(), 3, []byte(`[{"temp":".x","final":"y"}]`)); err == nil {
		t.Error("a file that is not there was committed")
	}
}

func TestErrorsNameThePath(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	write(t, blocked, "")
	s, err := newSink(table(filepath.Join(blocked, "table"), numbers))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(conformance.NewEnv(t, 0, 1, false).Context); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("the error is %v", err)
	}
}

func TestMoreThanOpenMaxPartitions(t *testing.T) {
	dir := t.TempDir()
	spec := table(dir, numbers)
	spec.PartitionKeys = []int{0}
	s, err := newSink(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(conformance.NewEnv(t, 0, 1, false).Context); err != nil {
		t.Fatal(err)
	}
	commit(t, s, someRows(openMax+20))
	if got := conformance.ReadTable(t, Connector(), spec, 1<<30); len(got) != openMax+20 {
		t.Errorf("%d rows, want %d", len(got), openMax+20)
	}
}

func TestAWatchForgetsFilesThatAreGone(t *testing.T) {
	dir := t.TempDir()
	spec := table(dir, numbers, "source.monitor-interval", "10 ms")
	r := conformance.Open(t, Connector(), spec, nil)
	defer r.Close()
	for i := range 20 {
		name := filepath.Join(dir, fmt.Sprint(i))
		write(t, name, fmt.Sprintf("{\"n\":%d}", i))
		if rows := r.Rows(1); rows[0].N != int64(i) {
			t.Fatalf("row %d came, not %d", rows[0].N, i)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	at, err := r.Source.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	if len(at[0].Pos) > 200 {
		t.Errorf("the position has grown to %d bytes", len(at[0].Pos))
	}
}

// TestAnotherDirectory: a job that goes on from a savepoint with another 'path' has what was prepared appear where it was written, and writes on in the new one.
// What somebody has taken away after it had appeared is no error, unless this machine has no such directory at all.
func TestAnotherDirectory(t *testing.T) {
	root := t.TempDir()
	before, after := filepath.Join(root, "before"), filepath.Join(root, "after")
	s, _ := openSink(t, before, true)
	if err := s.Write(t.Context(), someRows(3)); err != nil {
		t.Fatal(err)
	}
	prepared, err := s.Prepare(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := func(dir string) error {
		t.Helper()
		s, _ := openSink(t, dir, true)
		return errors.Join(s.Commit(t.Context(), 5, prepared), s.Close())
	}
	if err := errors.Join(again(after), again(after)); err != nil { // the second finds it done
		t.Fatal(err)
	}
	if got := names(t, before); strings.Count(got, " ") != 0 || got == "" || strings.Contains(got, ".pending") {
		t.Error("before:", got)
	}
	if got := names(t, after); got != "" {
		t.Error("after:", got)
	}
	files, err := filepath.Glob(filepath.Join(before, "part-*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(again(after), again(before)); err != nil {
		t.Error("taken away:", err)
	}
	if err := os.RemoveAll(before); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, dir := range []string{after, before} {
			if err := again(dir); err == nil || !strings.Contains(err.Error(), "no directory "+before) {
				t.Errorf("in %s: %v", dir, err)
			}
		}
	}
	// While the job runs nobody has any business with what waits.
	s, _ = openSink(t, after, true)
	if err := s.Write(t.Context(), someRows(3)); err != nil {
		t.Fatal(err)
	}
	if prepared, err = s.Prepare(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(after); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), 6, prepared); err == nil {
		t.Error("what had not appeared was lost in silence")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
