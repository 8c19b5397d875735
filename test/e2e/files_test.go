//go:build integration

package e2e

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// files writes 30 files of 1,000 numbered lines, one of them with nothing, and returns their directory and the sum of the numbers.
func files(t *testing.T) (string, int) {
	t.Helper()
	dir, sum := t.TempDir(), 0
	for f := range 30 {
		var b strings.Builder
		for i := range 1000 {
			n := f*1000 + i
			fmt.Fprintf(&b, "{\"n\":%d,\"room\":\"room-%d\"}\n", n, n%7)
			sum += n
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("in-%02d.json", f)), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "empty.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, sum
}

// numbers reads every line that a sink has left, and fails the test for a file that is not finished.
func numbers(t *testing.T, dir string) (count, sum int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name := d.Name(); strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || strings.Contains(name, "inprogress") || strings.Contains(name, "tmp") {
			t.Errorf("%s was left behind", path)
		}
		data, err := os.ReadFile(path) //nolint:gosec // the test's own directory
		if err != nil {
			return err
		}
		if len(data) == 0 || data[len(data)-1] != '\n' {
			t.Errorf("%s does not end with a line", path)
		}
		for sc := bufio.NewScanner(strings.NewReader(string(data))); sc.Scan(); {
			n, err := strconv.Atoi(strings.Split(sc.Text(), ",")[0])
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			count, sum = count+1, sum+n
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count, sum
}

const copyFiles = `
CREATE TABLE lines (n BIGINT, room STRING) WITH ('connector' = 'filesystem', 'path' = '${IN}', 'format' = 'json');
CREATE TABLE copies (n BIGINT, room STRING) PARTITIONED BY (room) WITH ('connector' = 'filesystem', 'path' = '${OUT}/copies', 'format' = 'csv');
CREATE TABLE plain (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}/plain', 'format' = 'csv');
EXECUTE STATEMENT SET BEGIN
INSERT INTO copies SELECT n, room FROM lines;
INSERT INTO plain SELECT n FROM lines WHERE n >= 0;
END;
`

func TestBoundedJobLeavesWholeFiles(t *testing.T) {
	in, sum := files(t)
	c := startCluster(t, 3, 1)
	check := func(out string) {
		t.Helper()
		for _, dir := range []string{"copies", "plain"} {
			if n, s := numbers(t, filepath.Join(out, dir)); n != 30_000 || s != sum {
				t.Errorf("%s: %d lines with the sum %d, want 30000 with %d", dir, n, s, sum)
			}
		}
		rooms, err := filepath.Glob(filepath.Join(out, "copies", "room=room-*"))
		if err != nil || len(rooms) != 7 {
			t.Errorf("partitions: %v, %v", rooms, err)
		}
	}
	out := t.TempDir()
	if printed := c.mustBramble("run", c.script(copyFiles), "-p", "3", "-D", "IN="+in, "-D", "OUT="+out); printed != "" {
		t.Errorf("bramble run printed %q", printed)
	}
	check(out)
	out = t.TempDir()
	contains(t, c.mustBramble("submit", "--wait", c.script(copyFiles), "-p", "3", "-D", "IN="+in, "-D", "OUT="+out), "JobID", "is FINISHED after")
	check(out)
	contains(t, c.mustBramble("list", "-a"), "FINISHED")
	c.awaitMetric("bramble_jobmanager_slots_available", 3)
}
