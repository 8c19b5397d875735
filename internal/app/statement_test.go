package app

import (
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/rest"
)

func TestReadStatement(t *testing.T) {
	kept := []string{"CREATE TABLE a (x INT)\n WITH ('connector' = 'datagen')", "CREATE TABLE b (x INT) WITH ('connector' = 'blackhole')"}
	for _, c := range []struct {
		text  string
		does  rest.StatementDoes
		fails string
	}{
		{"SELECT x FROM a;", rest.StatementQuery, ""},
		{"INSERT INTO b SELECT x FROM a", rest.StatementJob, ""},
		{"CREATE VIEW v AS SELECT x FROM a", rest.StatementKeep, ""},
		{"SET 'parallelism.default' = '2'", rest.StatementKeep, ""},
		{"EXPLAIN SELECT x FROM a", rest.StatementAnswer, ""},
		{"SELECT\n y FROM a", 0, `statement:2:2: column "y" does not exist`},
		{"SELEC 1", 0, "statement:1:1: unknown statement"},
		{"SELECT 1; SELECT 2", 0, "one statement at a time"},
		{"", 0, "one statement at a time"},
		{"EXPLAIN\nSELECT z FROM a", 0, "statement:2:8:"},
	} {
		s, err := readStatement(kept, c.text)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%q: got %v, want %s", c.text, err, c.fails)
			}
			continue
		}
		if err != nil || s.Does != c.does || s.Does == rest.StatementAnswer && s.Answer == "" || !strings.HasPrefix(s.Script, kept[0]) {
			t.Errorf("%q: got %+v, %v", c.text, s, err)
		}
	}
}
