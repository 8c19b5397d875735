//go:build integration

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/bramble-stream/bramble/internal/testenv"
)

// TestDrain stops a job while its windows are open: without --drain they stay open in the savepoint, with it they fire, and what comes of them is
// published before the command returns.
func TestDrain(t *testing.T) {
	rds := testenv.Redis(t)
	db := redisClient(t, rds.URL())
	out := t.TempDir()
	c := startCheckpointed(t, 2, 2)
	const rows = 400
	p := db.Pipeline()
	want := map[string]int64{} // rows by window
	for i := range int64(rows) {
		k := fmt.Sprint("k", i%7)
		p.XAdd(t.Context(), &redis.XAddArgs{Stream: fmt.Sprint("in", i%4), Values: []any{"k", k, "n", i, "at", i}})
		want[k+":0"]++
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	args := []string{"-D", "REDIS_URL=" + rds.URL(), "-D", "OUT=" + out, "-p", "2"}
	id := c.submit(recoveryJob, args...)
	await(t, "all rows to be read", func() bool { return total(t, db) == rows })

	saved := pathOf(t, c.mustBramble("stop", id, "--savepoint-path", t.TempDir()))
	if keys := db.Keys(t.Context(), "w:*").Val(); len(keys) > 0 {
		t.Fatalf("windows have fired: %v", keys)
	}
	for _, name := range []string{"bramble_checkpoints_total", "bramble_job_restarts_total"} {
		if !strings.Contains(page(t, c.jmMetrics), name+`{job_id="`+id) {
			t.Errorf("%s is forgotten when the job has ended", name)
		}
	}
	id = c.submit(recoveryJob, append(args, "--from-savepoint", saved)...)
	drained := pathOf(t, c.mustBramble("stop", id, "--drain"))
	for k, n := range want {
		if have := db.HGet(t.Context(), "w:"+k, "c").Val(); have != fmt.Sprint(n) {
			t.Errorf("window %s has %q rows, want %d", k, have, n)
		}
	}
	if files := committed(t, out); len(files) != rows {
		t.Errorf("%d rows in files, want %d", len(files), rows)
	}
	if !strings.Contains(drained, "savepoint") {
		t.Errorf("path %q", drained)
	}
	contains(t, c.mustBramble("list", "-a"), "FINISHED")
	if keys := db.Keys(t.Context(), "w:*").Val(); len(keys) != len(want) {
		t.Errorf("%d windows, want %d", len(keys), len(want))
	}
}

// page is what a URL answers.
func page(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// total adds up the rows that recoveryJob has counted.
func total(t *testing.T, db *redis.Client) (n int64) {
	t.Helper()
	for _, k := range db.Keys(t.Context(), "t:*").Val() {
		c, err := db.HGet(t.Context(), k, "c").Int64()
		if err != nil {
			t.Fatal(err)
		}
		n += c
	}
	return n
}
