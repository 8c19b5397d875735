package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

func field(name string, t vec.Type) vec.Field { return vec.Field{Name: name, Type: t} }

func table(format string, options map[string]string, fields ...vec.Field) *graph.TableSpec {
	o := map[string]string{"format": format}
	maps.Copy(o, options)
	return &graph.TableSpec{Name: "t", Options: o, Schema: vec.NewSchema(fields...)}
}

// decode reads each message into one batch; a refused one yields its error's text.
func decode(t *testing.T, spec *graph.TableSpec, msgs ...string) (*vec.Batch, []string) {
	t.Helper()
	d, err := NewDecoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	b := vec.NewBatch(spec.Schema)
	var refused []string
	d.Begin(b)
	n := 0
	for _, m := range msgs {
		rows, err := d.Decode([]byte(m))
		if err != nil {
			refused = append(refused, err.Error())
		}
		n += rows
	}
	d.Finish()
	b.SetRows(n)
	for i := range b.Width() {
		if got := b.Col(i).Len(); got != n {
			t.Fatalf("column %d has %d rows, want %d", i, got, n)
		}
	}
	return b, refused
}

// rows prints each row as JSON, what the encoder makes of it.
func rows(t *testing.T, spec *graph.TableSpec, b *vec.Batch) []string {
	t.Helper()
	e, err := NewEncoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range b.Rows() {
		line, err := e.Encode(nil, b, i)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
	}
	return out
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func sensorTable(options map[string]string) *graph.TableSpec {
	return table("json", options,
		field("sensor", vec.TypeString), field("ts", vec.TypeTimestampLTZ), field("temp", vec.TypeFloat64), field("n", vec.TypeInt32))
}

func TestJSONFieldsInAnyOrderMissingAndExtra(t *testing.T) {
	spec := sensorTable(nil)
	b, refused := decode(t, spec,
		`{"sensor":"a","ts":1795289579123,"temp":23.61,"n":1}`,
		`{"n":2,"extra":{"x":[1,{"y":null}]},"temp":-4e-1,"sensor":"b","ts":"2026-11-21T20:00:00+01:00"}`,
		` { "sensor" : "a\u00e9\n" , "ts":"2026-11-21 19:00:00.5Z" } `,
		`{}`,
		`{"sensor":17,"temp":"21.5","n":"-7","n":8}`,
		`[{"sensor":"x"},{"sensor":"y","n":3}]`,
	)
	wantLines(t, "refused", refused)
	wantLines(t, "rows", rows(t, spec, b),
		`{"sensor":"a","ts":"2026-11-21 19:32:59.123Z","temp":23.61,"n":1}`,
		`{"sensor":"b","ts":"2026-11-21 19:00:00.000Z","temp":-0.4,"n":2}`,
		`{"sensor":"aé\n","ts":"2026-11-21 19:00:00.500Z","temp":null,"n":null}`,
		`{"sensor":null,"ts":null,"temp":null,"n":null}`,
		`{"sensor":"17","ts":null,"temp":21.5,"n":8}`,
		`{"sensor":"x","ts":null,"temp":null,"n":null}`,
		`{"sensor":"y","ts":null,"temp":null,"n":3}`,
	)
}

func TestJSONRefusesWhatIsWrong(t *testing.T) {
	spec := sensorTable(nil)
	b, refused := decode(t, spec,
		`{"sensor":"ok1","n":1}`,
		`{"sensor":"a","n":2147483648}`,
		`{"sensor":"a","temp":"warm"}`,
		`{"sensor":"a","ts":"tomorrow"}`,
		`{"sensor":"a","ts":999999999999999999}`,
		`{"sensor":"a","temp":[1]}`,
		`{"sensor":"a","n":1`,
		`{"sensor":"a","n":1} x`,
		`not json`,
		"{\"sensor\":\"\xff\xfe\"}",
		``,
		`{"sensor":"a","temp":01}`,
		`{"a":`+strings.Repeat("[", 100)+`}`,
		`{"sensor":"ok2"}`,
	)
	wantLines(t, "refused", refused,
		`field "n": 2147483648 is out of range for INT`,
		`field "temp": "warm" is no number that fits DOUBLE`,
		`field "ts": "tomorrow" is no TIMESTAMP_LTZ`,
		`field "ts": timestamp 999999999999999999 lies outside the years 1 to 9999`,
		`field "temp": is nested, where DOUBLE was expected`,
		`JSON ends too early`,
		`malformed JSON at byte 21: 'x' where the end was expected`,
		`malformed JSON at byte 0: 'n' where an object was expected`,
		`field "sensor": text is not valid UTF-8`,
		`JSON ends too early`,
		`field "temp": malformed JSON at byte 21: '0' where a number was expected`,
		`JSON is nested deeper than 64`,
	)
	wantLines(t, "rows", rows(t, spec, b),
		`{"sensor":"ok1","ts":null,"temp":null,"n":1}`,
		`{"sensor":"ok2","ts":null,"temp":null,"n":null}`)
}

func TestJSONIgnoreParseErrors(t *testing.T) {
	spec := sensorTable(map[string]string{"json.ignore-parse-errors": "true"})
	b, refused := decode(t, spec, `{"sensor":"a","n":"many","temp":{"c":1},"ts":5}`, `{"n":3`)
	wantLines(t, "refused", refused, "JSON ends too early")
	wantLines(t, "rows", rows(t, spec, b), `{"sensor":"a","ts":"1970-01-01 00:00:00.005Z","temp":null,"n":null}`)
}

func TestJSONEpochSecondsAndISO(t *testing.T) {
	spec := sensorTable(map[string]string{"json.timestamp-format.epoch-unit": "s", "json.timestamp-format.standard": "ISO-8601", "json.encode.ignore-null-fields": "true"})
	b, refused := decode(t, spec, `{"ts":1795289579}`, `{"ts":1795289579.25}`)
	wantLines(t, "refused", refused)
	wantLines(t, "rows", rows(t, spec, b), `{"ts":"2026-11-21T19:32:59.000Z"}`, `{"ts":"2026-11-21T19:32:59.250Z"}`)
}

func TestJSONNested(t *testing.T) {
	spec := table("json", nil,
		field("r", vec.RowOf(field("a", vec.TypeInt64), field("s", vec.RowOf(field("b", vec.TypeBool))))),
		field("l", vec.ArrayOf(vec.TypeString)),
		field("m", vec.MapOf(vec.TypeString, vec.ArrayOf(vec.TypeInt8))),
		field("d", vec.DecimalOf(6, 2)), field("day", vec.TypeDate), field("at", vec.TypeTime), field("raw", vec.TypeBytes))
	b, refused := decode(t, spec,
		`{"r":{"a":1,"s":{"b":true}},"l":["x",null,"y"],"m":{"k":[1,2],"e":[]},"d":12.345,"day":"2026-11-21","at":"08:09:10","raw":"aGk="}`,
		`{"r":{"a":1,"s":{"b":7}}}`,
		`{"l":["x",{"q":1}],"m":{"k":[1,300]}}`,
		`{"r":null,"l":[],"d":99999}`,
		`{"r":{},"l":["z"],"m":{}}`)
	wantLines(t, "refused", refused,
		`field "r.s.b": "7" is no BOOLEAN`,
		`field "m": 300 is out of range for TINYINT`,
		`field "d": 99999 is out of range for DECIMAL(6, 2)`)
	wantLines(t, "rows", rows(t, spec, b),
		`{"r":{"a":1,"s":{"b":true}},"l":["x",null,"y"],"m":{"k":[1,2],"e":[]},"d":12.35,"day":"2026-11-21","at":"08:09:10","raw":"aGk="}`,
		`{"r":{"a":null,"s":null},"l":["z"],"m":{},"d":null,"day":null,"at":null,"raw":null}`)
}

func TestStringsLeaveTheDictionaryWhenTheyAreMany(t *testing.T) {
	spec := table("json", nil, field("s", vec.TypeString))
	d, err := NewDecoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	b := vec.NewBatch(spec.Schema)
	dictBatches := 0
	for base := 0; base < 2*maxDictValues; base += vec.MaxRows {
		b.Reset()
		d.Begin(b)
		for i := range vec.MaxRows {
			if _, err := d.Decode(fmt.Appendf(nil, `{"s":"v%d"}`, base+i)); err != nil {
				t.Fatal(err)
			}
		}
		d.Finish()
		b.SetRows(vec.MaxRows)
		if b.Col(0).Dict() != nil {
			dictBatches++
		}
		for i := range vec.MaxRows {
			if got, want := b.Col(0).Str(i), fmt.Sprintf("v%d", base+i); got != want {
				t.Fatalf("row %d is %q, want %q", base+i, got, want)
			}
		}
	}
	if want := maxDictValues / vec.MaxRows; dictBatches != want {
		t.Errorf("%d batches were dictionary-encoded, want %d", dictBatches, want)
	}
}

func TestCSV(t *testing.T) {
	fields := []vec.Field{field("s", vec.TypeString), field("n", vec.TypeInt32), field("ts", vec.TypeTimestamp), field("ok", vec.TypeBool)}
	spec := table("csv", map[string]string{"csv.field-delimiter": ";", "csv.null-literal": "n/a", "csv.allow-comments": "true"}, fields...)
	b, refused := decode(t, spec,
		"# a comment",
		"plain;1;2026-11-21 20:00:00;true\r\n",
		`"a;""b""";n/a;n/a;FALSE`,
		"",
		"few;1",
		"x;1;2026-11-21 20:00:00;true;more",
		"x;one;2026-11-21 20:00:00;true",
		`"open;1;2026-11-21 20:00:00;true`,
		`n/a;-5;2026-11-21T20:00:00.250;0`,
	)
	wantLines(t, "refused", refused,
		"has 2 fields, 4 were expected", "has more than the 4 fields expected", `field "n": "one" is no INT`, `field "s": quote is not closed`)
	wantLines(t, "rows", rows(t, spec, b),
		"plain;1;2026-11-21 20:00:00.000;true",
		`"a;""b""";n/a;n/a;false`,
		"n/a;-5;2026-11-21 20:00:00.250;false")
}

func TestSplitKeepsQuotedLineEnds(t *testing.T) {
	split, err := Split(table("csv", nil))
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("a,\"x\ny\"\r\nb,c")
	n, rec := split(data, false)
	if string(rec) != "a,\"x\ny\"" {
		t.Fatalf("first record is %q", rec)
	}
	if more, _ := split(data[n:], false); more != 0 {
		t.Fatalf("an unfinished record was cut off after %d bytes", more)
	}
	if _, rec = split(data[n:], true); string(rec) != "b,c" {
		t.Fatalf("last record is %q", rec)
	}
}

func TestRaw(t *testing.T) {
	spec := table("raw", nil, field("v", vec.TypeFloat64))
	b, refused := decode(t, spec, "21.5", " 3 ", "ON")
	wantLines(t, "refused", refused, `field "v": "ON" is no number that fits DOUBLE`)
	wantLines(t, "rows", rows(t, spec, b), "21.5", "3.0")
	if err := Check(table("raw", nil, field("a", vec.TypeString), field("b", vec.TypeString))); err == nil {
		t.Error("raw took two columns")
	}
}

func TestFloatsAreWrittenAsJavaDoes(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 21: "21.0", -0.5: "-0.5", 1e7: "1.0E7", 12345678.5: "1.23456785E7", 0.001: "0.001", 0.0001: "1.0E-4", -2.5e-10: "-2.5E-10",
		1e100: "1.0E100", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity",
	} {
		if got := string(appendFloat(nil, f, 64)); got != want {
			t.Errorf("%g is written %s, want %s", f, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"sensor":"a","ts":1,"temp":2.5,"n":3}`, `[{"n":1}]`, `{"sensor":"\ud83d\ude00","x":[[]]}`, `{"n":-0.0e-1}`} {
		f.Add([]byte(s))
	}
	spec := sensorTable(nil)
	f.Fuzz(func(t *testing.T, msg []byte) {
		d, err := NewDecoder(spec)
		if err != nil {
			t.Fatal(err)
		}
		b := vec.NewBatch(spec.Schema)
		d.Begin(b)
		n, derr := d.Decode(msg)
		n2, err := d.Decode([]byte(`{"sensor":"after","n":1}`))
		if err != nil || n2 != 1 {
			t.Fatalf("a good record after %q: %d rows, %v", msg, n2, err)
		}
		d.Finish()
		b.SetRows(n + n2)
		for i := range b.Width() {
			if b.Col(i).Len() != n+n2 {
				t.Fatalf("column %d has %d rows, want %d", i, b.Col(i).Len(), n+n2)
			}
		}
		if derr == nil && !json.Valid(msg) {
			t.Fatalf("%q is no JSON but was taken", msg)
		}
		for _, line := range rows(t, spec, b) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("wrote %q, which is no JSON", line)
			}
		}
	})
}

func BenchmarkJSONDecode(b *testing.B) {
	for _, c := range []struct{ name, msg string }{
		{"95B", `{"sensor":"s0123","ts":1795289579123,"temp":23.61,"hum":33,"loc":"plant-07/line-03/cell-12/u1"}`},
		{"59B", `{"sensor":"s0123","ts":1795289579123,"temp":23.61,"hum":33}`},
		{"95B-shuffled", `{"loc":"plant-07/line-03/cell-12/u1","hum":33,"sensor":"s0123","temp":23.61,"ts":1795289579123}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			spec := table("json", nil, field("sensor", vec.TypeString), field("ts", vec.TypeTimestampLTZ),
				field("temp", vec.TypeFloat64), field("hum", vec.TypeInt32))
			d, err := NewDecoder(spec)
			if err != nil {
				b.Fatal(err)
			}
			batch := vec.NewBatch(spec.Schema)
			msg, other := []byte(c.msg), []byte(`{"sensor":"s0001","ts":1795289579124,"temp":3.5,"hum":7,"loc":"x"}`)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%vec.MaxRows == 0 {
					batch.Reset()
					d.Begin(batch)
				}
				m := msg
				if c.name == "95B-shuffled" && i%2 == 0 {
					m = other
				}
				if _, err := d.Decode(m); err != nil {
					b.Fatal(err)
				}
				if i%vec.MaxRows == vec.MaxRows-1 {
					d.Finish()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

func TestTheLargestFloatIsRead(t *testing.T) {
	c := vec.NewCol(vec.TypeFloat32)
	for _, text := range []string{"3.4028235E+38", "-3.4028235E+38"} {
		if err := AppendText(c, []byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := AppendText(c, []byte("3.5E38")); err == nil {
		t.Error("3.5E38 is taken as a FLOAT")
	}
}

func TestDecimalsAreWrittenWithTheirScale(t *testing.T) {
	for _, c := range []struct {
		unscaled         string
		precision, scale uint8
		want             string
	}{
		{"150", 5, 2, "1.50"},
		{"-5", 5, 2, "-0.05"},
		{"0", 3, 3, "0.000"},
		{"-7", 5, 0, "-7"},
		{"9223372036854775808", 38, 0, "9223372036854775808"},
		{"-9223372036854775809", 38, 18, "-9.223372036854775809"},
		{"99999999999999999999999999999999999999", 38, 38, "0.99999999999999999999999999999999999999"},
	} {
		x, _ := new(big.Int).SetString(c.unscaled, 10)
		n, ok := vec.NumFromBig(x)
		col := vec.NewCol(vec.DecimalOf(c.precision, c.scale))
		vec.AppendValue(col, n)
		if got := string(AppendValueText(nil, col, 0, TextStyle{})); got != c.want || !ok {
			t.Errorf("%s at scale %d is %s, want %s", c.unscaled, c.scale, got, c.want)
		}
		if err := AppendText(col, []byte(c.want)); err != nil || vec.Values[vec.Num](col)[1] != n {
			t.Errorf("%s does not read back: %v", c.want, err)
		}
	}
}
