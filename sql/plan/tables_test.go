package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/sql/plan"
)

func TestTables(t *testing.T) {
	all, err := plan.Tables(`
CREATE TABLE base (
  id BIGINT COMMENT 'who', ts TIMESTAMP(3), topic STRING METADATA FROM 'topic' VIRTUAL, twice AS id * 2, now AS PROCTIME(),
  price DECIMAL(10, 2) NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, PRIMARY KEY (id) NOT ENFORCED
) COMMENT 'it''s' WITH ('connector' = 'mqtt', 'url' = 'tcp://me:secret@h', 'topic' = 't', 'password' = 'hidden');
CREATE TEMPORARY TABLE other (more ROW<a INT, b STRING>) WITH ('topic' = 'u') LIKE base;
CREATE TABLE away (x INT) WITH ('connector' = 'blackhole');
CREATE VIEW v (n, w) AS SELECT id, ts FROM base WHERE id > 1;
DROP TABLE away;`, plan.Options{Connectors: connectors()})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, info := range all {
		fmt.Fprintf(&got, "%s view %t comment %q key %v\n", info.Name, info.View, info.Comment, info.PrimaryKey)
		for _, c := range info.Columns {
			fmt.Fprintf(&got, "  %s %s row %t proc %t key %t %q %q %q\n", c.Name, c.Type, c.Rowtime, c.Proctime, c.Key, c.Extras, c.Watermark, c.Comment)
		}
	}
	want := `base view false comment "it's" key [id]
  id BIGINT NOT NULL row false proc false key true "" "" "who"
  ts TIMESTAMP(3) row true proc false key false "" "ts - INTERVAL '5' SECOND" ""
  topic STRING row false proc false key false "METADATA FROM 'topic' VIRTUAL" "" ""
  twice BIGINT row false proc false key false "AS id * 2" "" ""
  now TIMESTAMP_LTZ(3) NOT NULL row false proc true key false "AS PROCTIME()" "" ""
  price DECIMAL(10, 2) NOT NULL row false proc false key false "" "" ""
other view false comment "" key [id]
  id BIGINT NOT NULL row false proc false key true "" "" "who"
  ts TIMESTAMP(3) row true proc false key false "" "ts - INTERVAL '5' SECOND" ""
  topic STRING row false proc false key false "METADATA FROM 'topic' VIRTUAL" "" ""
  twice BIGINT row false proc false key false "AS id * 2" "" ""
  now TIMESTAMP_LTZ(3) NOT NULL row false proc true key false "AS PROCTIME()" "" ""
  price DECIMAL(10, 2) NOT NULL row false proc false key false "" "" ""
  more ROW<` + "`a` INT, `b` STRING" + `> row false proc false key false "" "" ""
v view true comment "" key []
  n BIGINT NOT NULL row false proc false key false "" "" ""
  w TIMESTAMP(3) row true proc false key false "" "" ""
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
	create := `CREATE TABLE default_catalog.default_database.base (
  id BIGINT COMMENT 'who',
  ts TIMESTAMP(3),
  topic STRING METADATA FROM 'topic' VIRTUAL,
  twice AS id * 2,
  now AS PROCTIME(),
  price DECIMAL(10, 2) NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
  CONSTRAINT PK_id PRIMARY KEY (id) NOT ENFORCED
)
COMMENT 'it''s'
WITH (
  'connector' = 'mqtt',
  'url' = 'tcp://me:******@h',
  'topic' = 't',
  'password' = '******'
)
`
	if all[0].Create != create {
		t.Errorf("got:\n%s\nwant:\n%s", all[0].Create, create)
	}
	if want := "CREATE VIEW default_catalog.default_database.v (\n  n,\n  w\n)\nAS SELECT id, ts FROM base WHERE id > 1\n"; all[2].Create != want {
		t.Errorf("got:\n%s\nwant:\n%s", all[2].Create, want)
	}
	for _, i := range []int{0, 1} { // what it shows can be read again
		if _, err := plan.Tables(strings.ReplaceAll(all[i].Create, "******", "x"), plan.Options{Connectors: connectors()}); err != nil {
			t.Errorf("%s: %v\n%s", all[i].Name, err, all[i].Create)
		}
	}
	if _, err := plan.Tables("CREATE TABLE a (x INT) WITH ('connector' = 'no')", plan.Options{Connectors: connectors()}); err == nil || !strings.Contains(err.Error(), "unknown connector") {
		t.Errorf("a mistake: %v", err)
	}
}
