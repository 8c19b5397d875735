package expr

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/vec"
)

// jsonModel follows a path through what encoding/json makes of a text.
func jsonModel(doc []byte, p *jsonPath) (v any, state jsonState) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, jsonInvalid
	}
	for _, s := range p.steps {
		switch c := v.(type) {
		case map[string]any:
			child, ok := c[s.name]
			if s.kind != jsonMember || !ok {
				return nil, jsonMissing
			}
			v = child
		case []any:
			i := s.index
			if i < 0 {
				i += len(c)
			}
			if s.kind != jsonElement || i < 0 || i >= len(c) {
				return nil, jsonMissing
			}
			v = c[i]
		default:
			return nil, jsonMissing
		}
	}
	return v, jsonFound
}

func checkJSONAgainstModel(t *testing.T, doc, path string) {
	t.Helper()
	p, err := compileJSONPath(path)
	if err != nil || !utf8.ValidString(doc) || !utf8.ValidString(path) || strings.Count(doc, "[")+strings.Count(doc, "{") > jsonDepthMax {
		return
	}
	_, ok := jsonText([]byte(doc))
	if ok != json.Valid([]byte(doc)) {
		t.Fatalf("%q: valid %v, want %v", doc, ok, !ok)
	}
	if p.many {
		if out, _, state := p.list(nil, []byte(doc)); state == jsonFound && !json.Valid(out) {
			t.Fatalf("%q, %s: list %q", doc, path, out)
		}
		return
	}
	got, state := p.lookup([]byte(doc))
	want, wantState := any(nil), jsonInvalid
	if ok {
		want, wantState = jsonModel([]byte(doc), p)
	}
	if state != wantState {
		t.Fatalf("%q, %s: state %d, want %d", doc, path, state, wantState)
	}
	if state != jsonFound {
		return
	}
	out := jsonCompact(nil, got)
	var v any
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q, %s: result %q: %v", doc, path, out, err)
	}
	a, errA := json.Marshal(v)
	b, errB := json.Marshal(want)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatalf("%q, %s: %s, want %s", doc, path, a, b)
	}
	if s, isText := want.(string); isText && string(jsonScalar(nil, got)) != s {
		t.Fatalf("%q, %s: text %q, want %q", doc, path, jsonScalar(nil, got), s)
	}
}

var jsonSeeds = [][2]string{
	{`{"a": {"b": [1, "x\u00e9\n", {"c": null}]}}`, "$.a.b[1]"},
	{`{"a":1,"\u0061":[true,false]}`, `lax $["a"][-1]`},
	{` [ 1.5e-3 , [] , {} , "\ud83d\ude00" ] `, "$[3]"},
	{`{"a":[{"b":1},{"b":[2]},3]}`, "$.a[*].b"},
	{`{"a":{"x":1,"y":2}}`, "strict $.a.*"},
	{`"\ud800"`, "$"},
	{`{"a":01}`, "$.a"},
	{`[1,]`, "$[0]"},
	{`{"a":1}}`, "$.a"},
	{"", "$"},
	{`{"a"`, "$.b"},
	{`[1 2]`, "$[-1]"},
}

func FuzzJSONPath(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(s[0], s[1])
	}
	f.Fuzz(checkJSONAgainstModel)
}

func TestJSONDepth(t *testing.T) {
	for _, n := range []int{100, jsonDepthMax, 100000} {
		doc := strings.Repeat("[", n) + strings.Repeat("]", n)
		if _, ok := jsonText([]byte(doc)); ok != (n <= jsonDepthMax) {
			t.Errorf("%d levels: %v", n, ok)
		}
	}
}

func TestJSONStringRoundTrip(t *testing.T) {
	text := "a\"\\/\b\f\n\r\t\x01é€😀"
	q := jsonQuote(nil, []byte(text))
	if got := jsonScalar(nil, q); string(got) != text || !json.Valid(q) {
		t.Errorf("%q became %s, then %q", text, q, got)
	}
	if q := jsonQuote(nil, []byte("a\xffb")); string(q) != "\"a\uFFFDb\"" {
		t.Errorf("bad UTF-8 became %q", q)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("a,b,,c", ",")
	f.Add("axxbx", "xx")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, s, delimiter string) {
		parts := strings.Split(s, delimiter)
		if delimiter == "" || s == "" {
			parts = nil
		}
		for i := range len(parts) + 2 {
			got, ok := splitIndex([]byte(s), []byte(delimiter), int64(i))
			switch {
			case delimiter == "":
			case ok != (i < len(parts)):
				t.Fatalf("part %d of %q by %q: %v", i, s, delimiter, ok)
			case ok && string(got) != parts[i]:
				t.Fatalf("part %d of %q by %q is %q, want %q", i, s, delimiter, got, parts[i])
			}
		}
	})
}

func FuzzPatterns(f *testing.F) {
	f.Add(`^(?<k>\w+)=\p{Alpha}*?[^\h\]]\Z`, "a=b")
	f.Add(`a!%[[:ALPHA:]]+(b|c)_`, "!")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if re, err := compileJavaRegexp(pattern); err == nil {
			re.MatchString(text)
		}
		if re, err := compileSimilar(pattern, text); err == nil {
			re.MatchString(text)
		}
		if p, err := compileJSONPath(pattern); err == nil && p == nil {
			t.Fatal("neither path nor error")
		}
	})
}

// What a row costs after the first batches is no memory, for functions that can do without.
func TestFunctionsDoNotAllocate(t *testing.T) {
	const rows = 256
	s, j, ts, at := vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeString), vec.NewCol(vec.TypeTimestampLTZ)
	for i := range rows {
		s.AppendString(strings.Repeat("Straße,", i%5))
		j.AppendString(`{"id": "sensor-1", "v": {"t": [21.5, 3]}, "x": "a\nb"}`)
		ts.AppendString("2020-01-31 12:34:56.789")
		vec.AppendValue(at, int64(i)*1e10)
	}
	fields := []vec.Field{{Name: "s", Type: vec.TypeString}, {Name: "j", Type: vec.TypeString}, {Name: "ts", Type: vec.TypeString}, {Name: "at", Type: vec.TypeTimestampLTZ}}
	b := vec.NewBatchOf(vec.NewSchema(fields...), rows, s, j, ts, at)
	for _, text := range []string{
		`(UPPER s)`, `(TRIM s)`, `(CONCAT s '-' s)`, `(CONCAT_WS ',' s s)`, `(REPLACE s 'ß' 'ss')`, `(LPAD s 20 'ab')`, `(SUBSTRING s 2 3)`, `(SPLIT_INDEX s ',' 1)`,
		`(POSITION 'ß' s)`, `(REGEXP s 'ß,S')`, `(SIMILAR s '%ß%')`, `(TO_BASE64 s)`, `(URL_ENCODE s)`, `(HEX s)`, `(MD5 s)`, `(SHA256 s)`,
		`(JSON_VALUE j '$.id')`, `(JSON_VALUE j '$.x')`, `(JSON_VALUE j 'lax $.v.t[0]')`, `(JSON_QUERY j '$.v')`, `(JSON_EXISTS j '$.y')`, `(IS_JSON j)`,
		`(JSON_VALUE j '$.nix' 'DEFAULT' s 'DEFAULT' s)`, `(JSON_STRING s)`, `(JSON_OBJECT 'NULL' 'k' s 'at' at)`,
		`(TO_TIMESTAMP ts)`, `(TO_TIMESTAMP ts 'yyyy-MM-dd HH:mm:ss.SSS')`, `(TO_DATE ts 'yyyy-MM-dd[ HH:mm:ss.SSS]')`, `(UNIX_TIMESTAMP ts)`, `(DATE_FORMAT ts 'yyyyMMdd')`,
		`(DATE_FORMAT at 'EEE yyyy-MM-dd HH:mm')`, `(EXTRACT 'WEEK' at)`, `(FLOOR at 'DAY')`, `(CEIL at 'MONTH')`, `(TIMESTAMPADD 'MONTH' 1 at)`, `(HOUR at)`,
		`(CONVERT_TZ ts 'UTC' 'Asia/Tokyo')`, `(NOW)`,
	} {
		in := parseInput(t, "zone: Europe/Berlin")
		e, err := (&testScanner{s: text, cols: fields}).expr()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		p, err := Compile([]*Expr{e}, in.env)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		run := func() {
			if _, err := p.Eval(b); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		run()
		run()
		// Crossing a change of the clock may look its zone up: a few rows in a batch do.
		if n := testing.AllocsPerRun(5, run); n > 0 {
			t.Errorf("%s: %v allocations a batch", text, n)
		}
	}
}
