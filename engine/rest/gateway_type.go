package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// gatewayType is a column's type, with what it takes to write its values as Flink's gateway does.
type gatewayType struct {
	root     string
	nullable bool
	// length, precision and scale are those of roots that have them.
	length, precision, scale int
	// names and kids are the fields of a ROW; kids the element of an ARRAY, or key and value of a MAP.
	names []string
	kids  []*gatewayType
}

// gatewayRoots are Flink's type roots by how SQL writes a type.
var gatewayRoots = map[string]string{
	"STRING": "VARCHAR", "VARCHAR": "VARCHAR", "CHAR": "CHAR", "BOOLEAN": "BOOLEAN", "BYTES": "VARBINARY", "VARBINARY": "VARBINARY", "BINARY": "BINARY",
	"DECIMAL": "DECIMAL", "TINYINT": "TINYINT", "SMALLINT": "SMALLINT", "INT": "INTEGER", "BIGINT": "BIGINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE", "DATE": "DATE",
	"TIME": "TIME_WITHOUT_TIME_ZONE", "TIMESTAMP": rootTimestamp, "TIMESTAMP_LTZ": rootTimestampLTZ, "NULL": "NULL",
	"INTERVAL YEAR TO MONTH": rootMonths, "INTERVAL DAY TO SECOND": rootMillis, "ROW": rootRow, "ARRAY": rootArray, "MAP": rootMap,
}

// The roots whose values are written in a way of their own.
const (
	rootTimestamp    = "TIMESTAMP_WITHOUT_TIME_ZONE"
	rootTimestampLTZ = "TIMESTAMP_WITH_LOCAL_TIME_ZONE"
	rootMonths       = "INTERVAL_YEAR_MONTH"
	rootMillis       = "INTERVAL_DAY_TIME"
	rootRow          = "ROW"
	rootArray        = "ARRAY"
	rootMap          = "MAP"
)

// typeDepthMax bounds the nesting of a type.
const typeDepthMax = 100

// gatewayTypeOf reads a type as SQL writes it.
func gatewayTypeOf(sql string) (*gatewayType, error) {
	t, rest, err := cutType(sql, typeDepthMax)
	if err == nil && rest != "" {
		err = fmt.Errorf("what is %q behind it?", rest)
	}
	if err != nil {
		return nil, fmt.Errorf("the type %s: %w", sql, err)
	}
	return t, nil
}

// cutType reads the type at the beginning of a text.
func cutType(sql string, depth int) (t *gatewayType, rest string, err error) {
	end := strings.IndexAny(sql, "(<>,")
	if end < 0 {
		end = len(sql)
	}
	name, rest := sql[:end], sql[end:]
	name, notNull := strings.CutSuffix(name, " NOT NULL")
	t = &gatewayType{root: gatewayRoots[name], nullable: !notNull}
	if t.root == "" || depth == 0 {
		return nil, "", fmt.Errorf("what is %q?", name)
	}
	var numbers []int
	if inner, ok := strings.CutPrefix(rest, "("); ok {
		text, after, _ := strings.Cut(inner, ")")
		rest = after
		for _, n := range strings.Split(text, ",") {
			number, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				return nil, "", err
			}
			numbers = append(numbers, number)
		}
	}
	if inner, ok := strings.CutPrefix(rest, "<"); ok {
		if rest, err = t.cutKids(inner, depth-1); err != nil {
			return nil, "", err
		}
	}
	if after, ok := strings.CutPrefix(rest, " NOT NULL"); ok {
		t.nullable, rest = false, after
	}
	want, nested := map[string]int{rootArray: 1, rootMap: 2, rootRow: len(t.names)}[t.root]
	if len(t.kids) != want || nested && want == 0 {
		return nil, "", fmt.Errorf("%d types in %s", len(t.kids), t.root)
	}
	t.measure(numbers)
	return t, rest, nil
}

// cutKids reads the types up to and with the >.
func (t *gatewayType) cutKids(sql string, depth int) (rest string, err error) {
	for rest = sql; !strings.HasPrefix(rest, ">"); {
		rest = strings.TrimPrefix(rest, ", ")
		if t.root == rootRow {
			end := strings.Index(rest, "` ")
			if !strings.HasPrefix(rest, "`") || end < 0 {
				return "", errors.New("a field without a name")
			}
			t.names, rest = append(t.names, rest[1:end]), rest[end+2:]
		}
		var kid *gatewayType
		if kid, rest, err = cutType(rest, depth); err != nil {
			return "", err
		}
		if rest == "" {
			return "", errors.New("a > is missing")
		}
		t.kids = append(t.kids, kid)
	}
	return rest[1:], nil
}

// measure sets length, precision and scale to those written, or the usual ones.
func (t *gatewayType) measure(numbers []int) {
	number := func(i, usual int) int {
		if i < len(numbers) {
			return numbers[i]
		}
		return usual
	}
	switch t.root {
	case "VARCHAR", "VARBINARY":
		t.length = number(0, math.MaxInt32)
	case "CHAR", "BINARY":
		t.length = number(0, 1)
	case "DECIMAL":
		t.precision, t.scale = number(0, 10), number(1, 0)
	case "TIME_WITHOUT_TIME_ZONE":
		t.precision = number(0, 0)
	case rootTimestamp, rootTimestampLTZ:
		t.precision = number(0, 6)
	}
}

// document is the type in Flink's JSON.
func (t *gatewayType) document() object {
	d := object{"type": t.root, "nullable": t.nullable}
	switch t.root {
	case "VARCHAR", "VARBINARY", "CHAR", "BINARY":
		d["length"] = t.length
	case "DECIMAL":
		d["precision"], d["scale"] = t.precision, t.scale
	case "TIME_WITHOUT_TIME_ZONE", rootTimestamp, rootTimestampLTZ:
		d["precision"] = t.precision
	case rootMonths:
		d["precision"], d["resolution"] = 2, "MONTH"
	case rootMillis:
		d["precision"], d["fractionalPrecision"], d["resolution"] = 2, 3, "SECOND"
	case rootArray:
		d["elementType"] = t.kids[0].document()
	case rootMap:
		d["keyType"], d["valueType"] = t.kids[0].document(), t.kids[1].document()
	case rootRow:
		fields := []object{}
		for i, kid := range t.kids {
			fields = append(fields, object{"name": t.names[i], "fieldType": kid.document()})
		}
		d["fields"] = fields
	}
	return d
}

// hasTimestamps reports whether a value has one in it.
func (t *gatewayType) hasTimestamps() bool {
	for _, kid := range t.kids {
		if kid.hasTimestamps() {
			return true
		}
	}
	return t.root == rootTimestamp || t.root == rootTimestampLTZ
}

// value writes a value, which is JSON as previews have it: as text, what PLAIN_TEXT is, or as Flink's JSON.
func (t *gatewayType) value(raw json.RawMessage, plain bool, zone *time.Location) (json.RawMessage, error) {
	if string(raw) == "null" || !plain && !t.hasTimestamps() {
		return raw, nil
	}
	w := gatewayWriter{dec: json.NewDecoder(bytes.NewReader(raw)), plain: plain, zone: zone}
	w.dec.UseNumber()
	if err := w.value(t); err != nil {
		return nil, fmt.Errorf("a value of type %s: %w", t.root, err)
	}
	if plain {
		return jsonText(w.out.String()), nil
	}
	return w.out.Bytes(), nil
}

func jsonText(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s) //nolint:errcheck,errchkjson // text
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// gatewayWriter writes a value while it is read.
type gatewayWriter struct {
	dec   *json.Decoder
	out   bytes.Buffer
	plain bool
	zone  *time.Location
}

func (w *gatewayWriter) value(t *gatewayType) error {
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case nil:
		w.put("NULL", "null")
	case json.Delim:
		return w.nested(t, v)
	case string:
		w.scalar(t, v, true)
	case json.Number:
		w.scalar(t, v.String(), false)
	case bool:
		w.scalar(t, strconv.FormatBool(v), false)
	}
	return nil
}

// put writes one of two texts.
func (w *gatewayWriter) put(plain, other string) {
	if w.plain {
		other = plain
	}
	w.out.WriteString(other)
}

// nested writes what begins with [ or {.
func (w *gatewayWriter) nested(t *gatewayType, begin json.Delim) error {
	switch {
	case t.root == rootArray && begin == '[':
		w.put("[", "[")
	case t.root == rootRow && begin == '{':
		w.put("(", "{")
	case t.root == rootMap && begin == '{':
		w.put("{", "{")
	default:
		return fmt.Errorf("%v is none", begin)
	}
	for i := 0; w.dec.More(); i++ {
		if i > 0 {
			w.put(", ", ",")
		}
		if t.root == rootRow && i >= len(t.kids) {
			return errors.New("too many fields")
		}
		kid := t.kids[min(i, len(t.kids)-1)]
		if begin == '{' {
			token, err := w.dec.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			if t.root == rootMap {
				kid = t.kids[1]
				w.scalar(t.kids[0], key, true)
			} else if !w.plain {
				w.out.Write(jsonText(key))
			}
			if t.root == rootMap || !w.plain {
				w.put("=", ":")
			}
		} else {
			kid = t.kids[0]
		}
		if err := w.value(kid); err != nil {
			return err
		}
	}
	if _, err := w.dec.Token(); err != nil {
		return err
	}
	switch t.root {
	case rootArray:
		w.put("]", "]")
	case rootRow:
		w.put(")", "}")
	default:
		w.put("}", "}")
	}
	return nil
}

// scalar writes a value that is not nested; quoted says that JSON has it as a string.
func (w *gatewayWriter) scalar(t *gatewayType, v string, quoted bool) {
	if t.root == rootTimestampLTZ {
		v = w.local(v)
	}
	if w.plain {
		w.out.WriteString(plainText(t.root, v))
		return
	}
	switch {
	case t.root == rootTimestamp || t.root == rootTimestampLTZ: // ISO 8601
		w.out.Write(jsonText(strings.Replace(v, " ", "T", 1)))
	case quoted:
		w.out.Write(jsonText(v))
	default:
		w.out.WriteString(v)
	}
}

// local is an instant as the session's time zone shows it. Flink keeps the Z behind it.
func (w *gatewayWriter) local(v string) string {
	if w.zone == nil || w.zone == time.UTC {
		return v
	}
	const layout = "2006-01-02 15:04:05.999999999Z"
	at, err := time.Parse(layout, v)
	if err != nil {
		return v // a year that has more than four digits
	}
	digits := 0
	if dot := strings.IndexByte(v, '.'); dot >= 0 {
		digits = len(v) - len(".Z") - dot
	}
	out := at.In(w.zone).Format("2006-01-02 15:04:05")
	if digits > 0 {
		out = at.In(w.zone).Format("2006-01-02 15:04:05." + strings.Repeat("0", digits))
	}
	return out + "Z"
}

// plainText is a value as CAST AS STRING has it in Flink.
func plainText(root, v string) string {
	switch root {
	case "BOOLEAN":
		return strings.ToUpper(v)
	case "FLOAT":
		return javaFloat(v, 32)
	case "DOUBLE":
		return javaFloat(v, 64)
	case rootTimestampLTZ:
		return strings.TrimSuffix(v, "Z")
	case "BINARY", "VARBINARY":
		if b, err := base64.StdEncoding.DecodeString(v); err == nil {
			return "x'" + hex.EncodeToString(b) + "'"
		}
	case rootMonths:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			sign, n := signed(n)
			return fmt.Sprintf("%s%d-%02d", sign, n/12, n%12)
		}
	case rootMillis:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			sign, n := signed(n)
			return fmt.Sprintf("%s%d %02d:%02d:%02d.%03d", sign, n/86_400_000, n/3_600_000%24, n/60_000%60, n/1000%60, n%1000)
		}
	}
	return v
}

func signed(n int64) (sign string, magnitude uint64) {
	if n < 0 {
		return "-", uint64(-n) //nolint:gosec // the smallest number is its own magnitude
	}
	return "+", uint64(n)
}

// javaFloat writes a number as Java does.
func javaFloat(v string, bits int) string {
	f, err := strconv.ParseFloat(v, bits)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return v
	}
	if a := math.Abs(f); a != 0 && (a < 1e-3 || a >= 1e7) {
		s := strconv.FormatFloat(f, 'E', -1, bits)
		mantissa, exponent, _ := strings.Cut(s, "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exponent) // strconv wrote it
		return mantissa + "E" + strconv.Itoa(n)
	}
	s := strconv.FormatFloat(f, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
