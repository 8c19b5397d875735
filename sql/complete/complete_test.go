package complete

import (
	"slices"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
)

func catalog() Catalog {
	return Catalog{
		Connectors: map[string]*op.Connector{
			"mqtt": {Name: "mqtt", Options: []op.Option{
				{Key: "qos", Kind: op.OptionEnum, Enum: []string{"0", "1", "2"}, Default: "1", Doc: "of the subscription"},
				{Key: "url", Required: true, Doc: "the broker"},
				{Key: "clean-session", Kind: op.OptionBool},
			}, Modes: func(*graph.TableSpec) []graph.ChangelogMode { return nil }},
			"datagen": {Name: "datagen"},
		},
		TableOptions: []op.Option{{Key: "bad-records", Kind: op.OptionEnum, Enum: []string{"drop", "fail"}}},
		Settings:     []string{"pipeline.name", "parallelism.default"}, Functions: []string{"LOWER", "UPPER"}, Aggregates: []string{"COUNT", "AVG"},
	}
}

const made = "-- it's a comment\nCREATE TABLE readings (\n  sensor STRING,\n  `value` DECIMAL(10, 2),\n  ts TIMESTAMP_LTZ(3),\n  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND\n) WITH ('connector' = 'mqtt', 'url' = 'x');\n" +
	"CREATE TABLE out (k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'mqtt');\n" +
	"CREATE VIEW hot AS SELECT sensor, MAX(`value`) AS most FROM readings GROUP BY sensor;\n"

// TestAt has the cursor where | is.
func TestAt(t *testing.T) {
	for _, c := range []struct {
		script string
		// want are the first labels; not may not be there; insert is that of the first.
		want   []string
		not    []string
		insert string
	}{
		{"|", []string{"CREATE TABLE", "CREATE TEMPORARY TABLE"}, []string{"FROM"}, "CREATE TABLE"},
		{"cre|", []string{"CREATE TABLE"}, []string{"SELECT"}, "CREATE TABLE"},
		{"SELECT 1; ins|", []string{"INSERT INTO"}, nil, ""},
		{"CREATE TABLE a (x |", []string{"STRING", "BIGINT"}, nil, ""},
		{"CREATE TABLE a (x STRING, w|", []string{"WATERMARK FOR"}, nil, ""},
		{"CREATE TABLE a (x STRING) |", []string{"WITH ("}, nil, ""},
		{"CREATE TABLE a (x STRING) WITH (|", []string{"connector"}, []string{"url"}, "'connector' = '"},
		{"CREATE TABLE a (x STRING) WITH ('connector' = '|", []string{"datagen", "mqtt"}, nil, "datagen"},
		{"CREATE TABLE a (x STRING) WITH ('connector' = 'm|'", []string{"mqtt"}, []string{"datagen"}, "mqtt"},
		{"CREATE TABLE a (x STRING) WITH ('connector' = 'mqtt', '|", []string{"url", "qos", "clean-session", "bad-records"}, []string{"connector"}, "url"},
		{"CREATE TABLE a (x STRING) WITH ('url' = 'y', '|', 'connector' = 'mqtt')", []string{"connector", "qos"}, []string{"url"}, ""},
		{"CREATE TABLE a (x STRING) WITH ('connector' = 'mqtt', 'qos' = '|", []string{"0", "1", "2"}, nil, ""},
		{"CREATE TABLE a (x STRING) WITH ('connector' = 'mqtt', 'clean-session' = 't|", []string{"true"}, []string{"false"}, ""},
		{"SET '|", []string{"pipeline.name", "parallelism.default"}, nil, "pipeline.name"},
		{"SET par|", []string{"parallelism.default"}, nil, "'parallelism.default' = '"},
		{made + "INSERT INTO |", []string{"readings", "out", "hot"}, []string{"SELECT"}, ""},
		{made + "SELECT * FROM r|", []string{"readings"}, nil, "readings"},
		{made + "SELECT | FROM readings", []string{"sensor", "value", "ts", "COUNT", "AVG", "LOWER"}, []string{"k"}, "sensor"},
		{made + "SELECT v| FROM readings", []string{"value"}, nil, "`value`"},
		{made + "SELECT `v| FROM readings", []string{"value"}, nil, "value"},
		{made + "SELECT r.| FROM readings AS r", []string{"sensor", "value", "ts"}, []string{"COUNT"}, ""},
		{made + "SELECT mo| FROM hot", []string{"most"}, nil, ""},
		{made + "SELECT wi| FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", []string{"window_start", "window_end"}, nil, ""},
		{made + "SELECT * FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(|", []string{"sensor", "value", "ts"}, []string{"FROM"}, ""},
		{made + "SELECT * FROM TABLE(|", []string{"TUMBLE", "HOP"}, nil, "TUMBLE("},
		{made + "SELECT cou|", []string{"COUNT"}, nil, "COUNT("},
		{made + "SELECT sensor FROM readings GROUP |", []string{"BY"}, nil, ""},
		{"-- SEL|", nil, []string{"SELECT"}, ""},
		{"SELECT 'FR|", nil, []string{"FROM"}, ""},
		{"SELECT 12|", nil, []string{"SELECT"}, ""},
	} {
		before, after, _ := strings.Cut(c.script, "|")
		line, column := strings.Count(before, "\n")+1, len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))+1
		r := At(before+after, line, column, catalog())
		var labels []string
		for _, i := range r.Items {
			labels = append(labels, i.Label)
		}
		where := c.script[max(len(c.script)-70, 0):]
		if len(labels) < len(c.want) || !slices.Equal(labels[:len(c.want)], c.want) {
			t.Errorf("…%s\nproposes %q, want %q", where, labels, c.want)
		}
		for _, n := range c.not {
			if slices.Contains(labels, n) {
				t.Errorf("…%s\nproposes %q", where, n)
			}
		}
		if c.insert != "" && len(r.Items) > 0 && r.Items[0].Insert != c.insert {
			t.Errorf("…%s\ninserts %q, want %q", where, r.Items[0].Insert, c.insert)
		}
	}
}

func TestPlaces(t *testing.T) {
	r := At("SELECT größe,\n  cou", 2, 6, catalog())
	if r.Column != 3 || len(r.Items) == 0 || r.Items[0].Label != "COUNT" {
		t.Errorf("%+v", r)
	}
	for _, p := range [][2]int{{0, 0}, {-1, -5}, {99, 1}, {1, 99}} {
		At("SELECT größe", p[0], p[1], catalog()) // does not fail
	}
}

func FuzzAt(f *testing.F) {
	f.Add(made, 3, 4)
	f.Add("SELECT 'ö` -- /* (", 1, 9)
	f.Fuzz(func(t *testing.T, script string, line, column int) {
		r := At(script, line%100, column%100, catalog())
		if r.Column < 1 || len(r.Items) > itemsMax {
			t.Errorf("%+v", r)
		}
	})
}
