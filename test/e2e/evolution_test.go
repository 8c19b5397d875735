//go:build integration

package e2e

import (
	"strings"
	"testing"
)

// evolvingJob keeps state by key; its sources never end.
const evolvingJob = `
SET 'execution.checkpointing.interval' = '300 ms';
CREATE TABLE numbers (k INT, n INT, extra STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '200', 'fields.k.min' = '0', 'fields.k.max' = '9');
CREATE TABLE totals (k INT, c BIGINT, s INT) WITH ('connector' = 'blackhole');
INSERT INTO totals SELECT k, COUNT(DISTINCT n), SUM(n) FROM numbers GROUP BY k;
`

// TestStateEvolution submits changed scripts from a savepoint: what an edit leaves alone goes on, and what would have to be made of other state is
// refused, with both named.
func TestStateEvolution(t *testing.T) {
	c := startCheckpointed(t, 1, 2)
	id := c.submit(evolvingJob)
	await(t, "a checkpoint", func() bool { return metric(t, c.jmMetrics, "bramble_checkpoints_total") >= 1 })
	saved := pathOf(t, c.mustBramble("stop", id, "--savepoint-path", t.TempDir()))

	const was = "[group 2, by INT, COUNT(DISTINCT INT) BIGINT, SUM(INT) INT]"
	insert := "SELECT k, COUNT(DISTINCT n), SUM(n) FROM numbers GROUP BY k"
	for _, e := range []struct {
		name, from, to string
		words          []string // nil: goes on
	}{
		{"nothing", "", "", nil},
		{"a column more that is not read", "extra STRING", "extra STRING, more DOUBLE", nil},
		{
			"an aggregate at the end", insert, "SELECT k, c, s FROM (SELECT k, COUNT(DISTINCT n) AS c, SUM(n) AS s, MAX(n) AS m FROM numbers GROUP BY k) WHERE m > 0",
			[]string{"GroupAggregate", was, "MAX(INT) INT], which cannot be made of it", "--allow-non-restored-state"},
		},
		{
			"an aggregate less", insert, "SELECT k, COUNT(DISTINCT n), 1 FROM numbers GROUP BY k",
			[]string{"GroupAggregate", was, "[group 2, by INT, COUNT(DISTINCT INT) BIGINT]", "--allow-non-restored-state"},
		},
		{
			"a filter before", insert, "SELECT k, COUNT(DISTINCT n), SUM(n) FROM numbers WHERE n > 0 GROUP BY k",
			[]string{"GroupAggregate", "same form, but of other columns, input or settings"},
		},
		{"another type of the key", "numbers (k INT", "numbers (k SMALLINT", []string{"GroupAggregate", was, "[group 2, by SMALLINT", "other types"}},
		{"another type below an aggregate", insert, "SELECT k, COUNT(DISTINCT CAST(n AS BIGINT)), SUM(n) FROM numbers GROUP BY k", []string{"GroupAggregate", was, "DISTINCT BIGINT"}},
	} {
		changed := strings.Replace(evolvingJob, e.from, e.to, 1)
		if e.from != "" && changed == evolvingJob {
			t.Fatalf("%s: the script has no %q", e.name, e.from)
		}
		msg, err := c.bramble("submit", c.script(changed), "--from-savepoint", saved)
		if (err != nil) != (e.words != nil) {
			t.Errorf("%s: %v: %s", e.name, err, msg)
		}
		if contains(t, msg, e.words...); err == nil {
			id := jobID(t, msg)
			await(t, e.name+": running", func() bool { return strings.Contains(c.status(id), "RUNNING") })
			c.mustBramble("cancel", id)
		}
	}
}
