package parse

import "strconv"

// simpleTypes are those without parameters, and what they are.
var simpleTypes = map[string]Type{
	"BOOLEAN": {Kind: TypeBoolean}, "TINYINT": {Kind: TypeTinyInt}, "SMALLINT": {Kind: TypeSmallInt},
	"INT": {Kind: TypeInt}, "INTEGER": {Kind: TypeInt}, "BIGINT": {Kind: TypeBigInt},
	"FLOAT": {Kind: TypeFloat}, "REAL": {Kind: TypeFloat}, "DATE": {Kind: TypeDate},
	"STRING": {Kind: TypeVarChar, Precision: MaxLength}, "BYTES": {Kind: TypeVarBinary, Precision: MaxLength},
}

// typeWords lists the types for hints.
var typeWords = []string{
	"BOOLEAN", "TINYINT", "SMALLINT", "INT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL",
	"NUMERIC", "CHAR", "VARCHAR", "STRING", "BINARY", "VARBINARY", "BYTES", "DATE", "TIME", "TIMESTAMP",
	"TIMESTAMP_LTZ", "INTERVAL", "ROW", "ARRAY", "MAP", "MULTISET",
}

// foreignTypes are names that other systems use, and Flink's word.
var foreignTypes = map[string]string{
	"TEXT": "STRING", "BOOL": "BOOLEAN", "INT8": "BIGINT", "INT4": "INT", "INT2": "SMALLINT", "INT64": "BIGINT",
	"INT32": "INT", "INT16": "SMALLINT", "LONG": "BIGINT", "FLOAT64": "DOUBLE", "FLOAT32": "FLOAT", "FLOAT8": "DOUBLE",
	"FLOAT4": "FLOAT", "TIMESTAMPTZ": "TIMESTAMP_LTZ", "DATETIME": "TIMESTAMP", "BLOB": "BYTES", "BYTEA": "BYTES",
	"STRUCT": "ROW", "NUMBER": "DECIMAL", "SHORT": "SMALLINT", "BYTE": "TINYINT", "JSON": "STRING", "UUID": "STRING",
}

// dataType reads a type with its ARRAY, MULTISET and NOT NULL suffixes.
func (p *parser) dataType() *Type {
	from := p.i
	if !p.enter() {
		p.leave()
		return nil
	}
	defer p.leave()
	t := p.baseType()
	p.nullability(t)
	for chain := 0; (p.isKw("ARRAY") || p.isKw("MULTISET")) && p.link(&chain); {
		t.Span = p.span(from)
		kind := TypeArray
		if p.next().kw == "MULTISET" {
			kind = TypeMultiset
		}
		t = &Type{Kind: kind, Elem: t}
		p.nullability(t)
	}
	t.Span = p.span(from)
	return t
}

func (p *parser) nullability(t *Type) {
	if p.accept("NOT", "NULL") {
		t.NotNull = true
	} else {
		p.accept("NULL")
	}
}

// baseType never returns nil.
func (p *parser) baseType() *Type {
	w := p.cur()
	if w.kind != tokWord {
		p.unexpected("a data type")
		return &Type{}
	}
	if t, ok := simpleTypes[w.kw]; ok {
		p.next()
		return &t
	}
	switch w.kw {
	case "DOUBLE":
		p.next()
		p.accept("PRECISION")
		return &Type{Kind: TypeDouble}
	case "DECIMAL", "DEC", "NUMERIC":
		return p.decimalType()
	case "CHAR", "CHARACTER":
		p.next()
		if p.accept("VARYING") {
			return p.sizedType(&Type{Kind: TypeVarChar, Precision: 1}, 1, MaxLength)
		}
		return p.sizedType(&Type{Kind: TypeChar, Precision: 1}, 1, MaxLength)
	case "BINARY":
		p.next()
		if p.accept("VARYING") {
			return p.sizedType(&Type{Kind: TypeVarBinary, Precision: 1}, 1, MaxLength)
		}
		return p.sizedType(&Type{Kind: TypeBinary, Precision: 1}, 1, MaxLength)
	case "VARCHAR":
		p.next()
		return p.sizedType(&Type{Kind: TypeVarChar, Precision: 1}, 1, MaxLength)
	case "VARBINARY":
		p.next()
		return p.sizedType(&Type{Kind: TypeVarBinary, Precision: 1}, 1, MaxLength)
	case "TIME", "TIMESTAMP", "TIMESTAMP_LTZ":
		return p.timeType()
	case "INTERVAL":
		p.next()
		return &Type{Kind: TypeInterval, Interval: p.qualifier()}
	case "ROW", "ARRAY", "MAP", "MULTISET":
		return p.nestedType()
	}
	p.unknownType(w)
	return &Type{}
}

func (p *parser) unknownType(w *token) {
	var hint string
	if s, ok := foreignTypes[w.kw]; ok {
		hint = "did you mean " + strconv.Quote(s) + "?"
	} else if hardReserved[w.kw] {
		p.fail(w, "", "expected a data type, found %s", quote(w.val))
		return
	} else {
		hint = DidYouMean(w.val, typeWords)
	}
	p.fail(w, hint, "unknown data type %s", quote(w.val))
}

// size reads a number within [lo, hi].
func (p *parser) size(what string, lo, hi int) int {
	t := p.cur()
	if t.kind != tokNumber {
		p.unexpected(what)
		return lo
	}
	n, err := strconv.Atoi(t.val)
	if err != nil || n < lo || n > hi {
		p.fail(t, "", "%s must be between %d and %d, not %s", what, lo, hi, clip(t.val))
		return lo
	}
	p.next()
	return n
}

// sizedType reads an optional (n) into t.
func (p *parser) sizedType(t *Type, lo, hi int) *Type {
	if p.acceptOp("(") {
		t.Precision, t.HasPrecision = p.size("the length", lo, hi), true
		p.expectOp(")")
	}
	return t
}

func (p *parser) decimalType() *Type {
	p.next()
	t := &Type{Kind: TypeDecimal, Precision: 10}
	if p.acceptOp("(") {
		t.Precision, t.HasPrecision = p.size("the precision", 1, 38), true
		if p.acceptOp(",") {
			t.Scale, t.HasScale = p.size("the scale", 0, t.Precision), true
		}
		p.expectOp(")")
	}
	return t
}

func (p *parser) timeType() *Type {
	w := p.next()
	t := &Type{Kind: TypeTimestamp, Precision: 6}
	switch w.kw {
	case "TIME":
		t.Kind, t.Precision = TypeTime, 0
	case "TIMESTAMP_LTZ":
		t.Kind = TypeTimestampLTZ
	}
	if p.acceptOp("(") {
		t.Precision, t.HasPrecision = p.size("the precision", 0, 9), true
		p.expectOp(")")
	}
	switch {
	case t.Kind == TypeTimestampLTZ:
	case p.accept("WITHOUT", "TIME", "ZONE"):
	case t.Kind == TypeTimestamp && p.accept("WITH", "LOCAL", "TIME", "ZONE"):
		t.Kind = TypeTimestampLTZ
	case p.isKws("WITH", "TIME", "ZONE"):
		p.fail(p.cur(), "use TIMESTAMP_LTZ", "%s WITH TIME ZONE is not supported", w.kw)
	}
	return t
}

// nestedType reads ROW<..>, ROW(..), ARRAY<t>, MAP<k, v>, MULTISET<t>. Since the
// lexer does not join >>, nested closings need no care.
func (p *parser) nestedType() *Type {
	w := p.next()
	t := &Type{}
	closing := ">"
	if w.kw == "ROW" && p.acceptOp("(") {
		closing = ")"
	} else if p.isOp("<>") {
		p.fail(p.cur(), "", "%s needs what it is made of between < and >", w.kw)
	} else if !p.acceptOp("<") {
		p.unexpected(`"<"`)
	}
	switch w.kw {
	case "ROW":
		t.Kind = TypeRow
		for {
			t.Fields = append(t.Fields, p.rowField())
			if !p.acceptOp(",") {
				break
			}
		}
	case "MAP":
		t.Kind = TypeMap
		t.Key = p.dataType()
		p.expectOp(",")
		t.Elem = p.dataType()
	case "MULTISET":
		t.Kind = TypeMultiset
		t.Elem = p.dataType()
	default:
		t.Kind = TypeArray
		t.Elem = p.dataType()
	}
	p.expectOp(closing)
	return t
}

func (p *parser) rowField() RowField {
	from := p.i
	f := RowField{Name: p.ident("a field's name")}
	f.Type = p.dataType()
	if p.isKw("COMMENT") {
		f.Comment = p.optText("the comment as a string", "COMMENT")
	} else if p.cur().kind == tokString {
		c := p.text("the comment as a string")
		f.Comment = &c
	}
	f.Span = p.span(from)
	return f
}

// intervalUnits are the units an interval counts in.
var intervalUnits = []string{"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"}

func (p *parser) intervalUnit() Unit {
	t := p.cur()
	u := UnitNone
	if t.kind == tokWord {
		u = units[t.kw]
	}
	switch u {
	case UnitYear, UnitQuarter, UnitMonth, UnitWeek, UnitDay, UnitHour, UnitMinute, UnitSecond:
		p.next()
		return u
	case UnitMillisecond, UnitMicrosecond, UnitNanosecond:
		p.fail(t, "write a fraction of a second: INTERVAL '0.005' SECOND", "intervals have no unit %s", t.kw)
	default:
		if t.kind == tokWord {
			if hint := DidYouMean(t.val, intervalUnits); hint != "" {
				p.fail(t, hint, "%s is no unit of an interval", quote(t.val))
				return u
			}
		}
		p.unexpected("a unit such as DAY, HOUR, MINUTE or SECOND")
	}
	return u
}

// qualifier reads unit[(p[, s])] [TO unit[(s)]].
func (p *parser) qualifier() *IntervalQualifier {
	from := p.i
	q := &IntervalQualifier{Precision: -1, FracPrecision: -1}
	q.From = p.intervalUnit()
	if p.acceptOp("(") {
		q.Precision = p.size("the precision", 1, 10)
		if q.From == UnitSecond && p.acceptOp(",") {
			q.FracPrecision = p.size("the fractional precision", 0, 9)
		}
		p.expectOp(")")
	}
	if p.isKw("TO") && !(p.inFloor && !validRange(q.From, units[p.peek(1).kw])) {
		at := p.next()
		q.To = p.intervalUnit()
		if p.err == nil && !validRange(q.From, q.To) {
			p.fail(at, "", "no interval goes from %s to %s", q.From, q.To)
		}
		if q.To == UnitSecond && p.acceptOp("(") {
			q.FracPrecision = p.size("the fractional precision", 0, 9)
			p.expectOp(")")
		}
	}
	q.Span = p.span(from)
	return q
}

func validRange(from, to Unit) bool {
	if from == UnitYear {
		return to == UnitMonth
	}
	return from >= UnitDay && from < to && from != UnitMonth && to <= UnitSecond && to >= UnitHour
}
