package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rowSet is a table as a multiset: rows as the print connector shows them, and how many there are of each. Both engines print alike.
type rowSet map[string]int64

// total is how many rows there are.
func (s rowSet) total() int64 {
	n := int64(0)
	for _, c := range s {
		n += c
	}
	return n
}

// digest depends on the rows and not on their order.
func (s rowSet) digest() string {
	var sum [2]uint64
	for row, n := range s {
		h := sha256.Sum256([]byte(row))
		sum[0] += binary.BigEndian.Uint64(h[:]) * uint64(n)
		sum[1] += binary.BigEndian.Uint64(h[8:]) * uint64(n)
	}
	return fmt.Sprintf("%016x%016x", sum[0], sum[1])
}

// materialize reads a changelog, a change a line, and returns the table that it leaves, and how many changes there were.
func materialize(r io.Reader) (rowSet, int64, error) {
	rows, changes := rowSet{}, int64(0)
	b := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if at := bytes.Index(line, []byte("> ")); at > 0 && at < 4 { // the number of the task
			line = line[at+2:]
		}
		if len(line) < 4 || line[2] != '[' || line[len(line)-1] != ']' {
			return nil, 0, fmt.Errorf("unexpected line %q", line)
		}
		changes++
		switch row := line[3 : len(line)-1]; string(line[:2]) {
		case "+I", "+U":
			rows.add(row, 1)
		case "-U", "-D":
			rows.add(row, -1)
		default:
			return nil, 0, fmt.Errorf("unexpected line %q", line)
		}
	}
	for row, n := range rows {
		if n < 0 {
			return nil, 0, fmt.Errorf("row %q was taken back %d times more than it was given out", row, -n)
		}
	}
	return rows, changes, nil
}

func (s rowSet) add(row []byte, n int64) {
	if now := s[string(row)] + n; now == 0 {
		delete(s, string(row))
	} else {
		s[string(row)] = now
	}
}

// countedBids is what can be compared of q12, whose windows are of the clock: how many bids of each person are in all its windows together. Flink says so by a
// query without windows.
const countedBids = `
CREATE TABLE results (bidder BIGINT, bid_count BIGINT) WITH ('connector' = '${SINK}');
INSERT INTO results
SELECT bidder, COUNT(*) FROM bid GROUP BY bidder;
`

// sumOfWindows adds the second column of rows by the first one.
func sumOfWindows(rows rowSet) (rowSet, error) {
	sums := map[string]int64{}
	for row, n := range rows {
		cells := strings.Split(row, ", ")
		if len(cells) < 2 {
			return nil, fmt.Errorf("unexpected row %q", row)
		}
		v, err := strconv.ParseInt(cells[1], 10, 64)
		if err != nil {
			return nil, err
		}
		sums[cells[0]] += v * n
	}
	out := rowSet{}
	for k, v := range sums {
		out[fmt.Sprintf("%s, %d", k, v)]++
	}
	return out, nil
}

// expectation is what Flink gave for a number of events.
type expectation struct {
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"`
}

// expected is expectations by the number of events and query, for the default rate.
type expected map[string]map[string]expectation

func (s *settings) expectedFile() string {
	return filepath.Join(s.root, "benchmarks", "nexmark", "expected.json")
}

func (s *settings) readExpected() (expected, error) {
	e := expected{}
	text, err := os.ReadFile(s.expectedFile())
	if errors.Is(err, os.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	return e, json.Unmarshal(text, &e)
}

func conformance(ctx context.Context, s *settings) error {
	const defaultRate = 10_000
	if s.rate == 0 {
		s.rate = defaultRate
	}
	if err := s.buildBramble(ctx); err != nil {
		return err
	}
	if !s.recorded {
		if err := s.buildFlink(ctx); err != nil {
			return err
		}
	}
	all, err := s.readExpected()
	if err != nil {
		return err
	}
	want := all[strconv.FormatInt(s.events, 10)]
	switch {
	case (s.recorded || s.record) && s.rate != defaultRate:
		return errors.New("what is recorded is of the default rate")
	case s.recorded && want == nil:
		return fmt.Errorf("nothing is recorded for %d events", s.events)
	case want == nil:
		want = map[string]expectation{}
	}
	fmt.Printf("%d events, %d a second of event time\n", s.events, s.rate)
	fmt.Printf("%-5s %12s %14s %14s  %s\n", "query", "rows", "changes", "Flink's", "")
	differ := 0
	for _, q := range s.queries {
		verdict, err := s.conform(ctx, q, want)
		if err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
		if strings.HasPrefix(verdict, "DIFFERENT") {
			differ++
		}
	}
	if s.record {
		all[strconv.FormatInt(s.events, 10)] = want
		text, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.expectedFile(), append(text, '\n'), 0o644); err != nil { //nolint:gosec // a file of the repository
			return err
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d queries give other rows than Flink", differ)
	}
	return nil
}

// conform compares one query and prints a line about it.
func (s *settings) conform(ctx context.Context, q string, want map[string]expectation) (string, error) {
	script, err := s.script(q)
	if err != nil {
		return "", err
	}
	var theirs rowSet
	var theirChanges int64
	if !s.recorded {
		if theirs, theirChanges, err = s.flinkRows(ctx, q, script); err != nil {
			return "", fmt.Errorf("Flink: %w", err)
		}
		want[q] = expectation{theirs.total(), theirs.digest()}
	}
	if why := s.refused(ctx, script); why != "" {
		fmt.Printf("%-5s %12d %14s %14d  not planned: %s\n", q, want[q].Rows, "", theirChanges, why)
		return "", nil
	}
	began := time.Now()
	ours, changes, err := s.brambleRows(ctx, q, script)
	if err != nil {
		return "", fmt.Errorf("Bramble: %w", err)
	}
	verdict := "the same"
	if q == "q12" {
		verdict = "the same counts by person, over all windows"
	}
	if got := (expectation{ours.total(), ours.digest()}); got != want[q] {
		verdict = fmt.Sprintf("DIFFERENT: %d rows, Flink has %d", got.Rows, want[q].Rows)
	}
	fmt.Printf("%-5s %12d %14d %14d  %s (%.1f s)\n", q, ours.total(), changes, theirChanges, verdict, time.Since(began).Seconds())
	if strings.HasPrefix(verdict, "DIFFERENT") && theirs != nil {
		showDifference(ours, theirs)
	}
	return verdict, nil
}

func showDifference(ours, theirs rowSet) {
	show := func(who string, a, b rowSet) {
		var only []string
		for row, n := range a {
			if n > b[row] {
				only = append(only, row)
			}
		}
		slices.Sort(only)
		fmt.Printf("      %d rows only of %s\n", len(only), who)
		for _, row := range only[:min(len(only), 5)] {
			fmt.Printf("        %.300s\n", row)
		}
	}
	show("Bramble", ours, theirs)
	show("Flink", theirs, ours)
}

func (s *settings) brambleRows(ctx context.Context, q, script string) (rowSet, int64, error) {
	rows, n, err := collect(exec.CommandContext(ctx, s.bin+"/bramble", "run", script, "-p", strconv.Itoa(s.parallelism), "--memory", "2GiB",
		"-D", "EVENTS="+strconv.FormatInt(s.events, 10), "-D", "RATE="+strconv.FormatInt(s.rate, 10), "-D", "SINK=print"))
	if err == nil && q == "q12" {
		rows, err = sumOfWindows(rows)
	}
	return rows, n, err
}

func (s *settings) flinkRows(ctx context.Context, q, script string) (rowSet, int64, error) {
	if q == "q12" {
		text, err := os.ReadFile(filepath.Join(s.root, "benchmarks", "nexmark", "prelude.sql"))
		if err != nil {
			return nil, 0, err
		}
		script = filepath.Join(s.dir, "counted-bids.sql")
		if err := os.WriteFile(script, append(text, countedBids...), 0o600); err != nil {
			return nil, 0, err
		}
	}
	args := s.flinkCommand(script, "EVENTS="+strconv.FormatInt(s.events, 10), "RATE="+strconv.FormatInt(s.rate, 10), "SINK=print",
		// One task of each: what Top-N makes of equal rows depends on which comes first.
		"parallelism.default=1", "pipeline.object-reuse=true", "table.exec.mini-batch.enabled=true", "table.exec.mini-batch.allow-latency=2s",
		"table.exec.mini-batch.size=50000", "io.tmp.dirs="+s.dir)
	return collect(exec.CommandContext(ctx, args[0], args[1:]...))
}

// collect runs a program and reads the changelog that it prints.
func collect(cmd *exec.Cmd) (rowSet, int64, error) {
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	rows, n, err := materialize(out)
	if err != nil {
		_ = cmd.Process.Kill() // it would wait for its reader
	}
	if werr := cmd.Wait(); werr != nil {
		return nil, 0, errors.Join(err, fmt.Errorf("%w\n%s", werr, head(log.String(), 2000)))
	}
	return rows, n, err
}

func head(s string, n int) string { return s[:min(n, len(s))] }
