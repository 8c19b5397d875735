// Package vec holds columns and batches in Arrow's memory layout. It knows nothing of
// streams, operators or expressions: it is the data that they work on.
package vec

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is the logical kind of a column. The comment gives its physical layout.
type Kind uint8

// The kinds. Values are part of the wire and state formats: append only.
const (
	Invalid      Kind = iota
	Null              // untyped NULL literal: no values, every row invalid
	Bool              // bitmap, one bit a row
	Int8              // int8
	Int16             // int16
	Int32             // int32
	Int64             // int64
	Float32           // float32
	Float64           // float64
	Decimal           // Arrow decimal128: 16 bytes little-endian, unscaled
	String            // int32 offsets + UTF-8 bytes, or int32 codes into a Dict
	Bytes             // int32 offsets + bytes
	Date              // int32 days since 1970-01-01
	Time              // int32 milliseconds since midnight
	Timestamp         // int64 milliseconds of local wall-clock time, without a zone
	TimestampLTZ      // int64 milliseconds since the epoch, UTC
	IntervalYM        // int32 months
	IntervalDT        // int64 milliseconds
	Row               // children, one a field
	Array             // int32 offsets + one child
	Map               // int32 offsets + two children: keys, values
	kindCount
)

var kindNames = [kindCount]string{
	"INVALID", "NULL", "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL",
	"STRING", "BYTES", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "INTERVAL YEAR TO MONTH",
	"INTERVAL DAY TO SECOND", "ROW", "ARRAY", "MAP",
}

// String returns Flink's name of the kind.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return "KIND(" + strconv.Itoa(int(k)) + ")"
}

// Type is a column's SQL type. Types are values: compare with Equal.
type Type struct {
	Kind Kind `json:"k"`
	// Precision is p of DECIMAL(p, s), or the fractional digits of TIME and TIMESTAMP(p) (stored as milliseconds whatever p is).
	Precision uint8 `json:"p,omitempty"`
	// Scale is s of DECIMAL(p, s).
	Scale uint8 `json:"s,omitempty"`
	// NotNull says that the column never holds NULL; planning uses it, kernels do not rely on it.
	NotNull bool `json:"nn,omitempty"`
	// Fields are the children: ROW's fields; ARRAY's element; MAP's key and value.
	Fields []Field `json:"f,omitempty"`
}

// Field is a named type: a column of a schema, or a child of a ROW.
type Field struct {
	Name string `json:"n"`
	Type Type   `json:"t"`
}

// Shorthands for the types without parameters.
var (
	TypeNull         = Type{Kind: Null}
	TypeBool         = Type{Kind: Bool}
	TypeInt8         = Type{Kind: Int8}
	TypeInt16        = Type{Kind: Int16}
	TypeInt32        = Type{Kind: Int32}
	TypeInt64        = Type{Kind: Int64}
	TypeFloat32      = Type{Kind: Float32}
	TypeFloat64      = Type{Kind: Float64}
	TypeString       = Type{Kind: String}
	TypeBytes        = Type{Kind: Bytes}
	TypeDate         = Type{Kind: Date}
	TypeTime         = Type{Kind: Time}
	TypeTimestamp    = Type{Kind: Timestamp, Precision: 3}
	TypeTimestampLTZ = Type{Kind: TimestampLTZ, Precision: 3}
	TypeIntervalYM   = Type{Kind: IntervalYM}
	TypeIntervalDT   = Type{Kind: IntervalDT, Precision: 3}
)

// DecimalOf returns DECIMAL(p, s).
func DecimalOf(p, s uint8) Type { return Type{Kind: Decimal, Precision: p, Scale: s} }

// ArrayOf returns ARRAY<elem>.
func ArrayOf(elem Type) Type { return Type{Kind: Array, Fields: []Field{{"element", elem}}} }

// MapOf returns MAP<key, value>.
func MapOf(key, value Type) Type {
	return Type{Kind: Map, Fields: []Field{{"key", key}, {"value", value}}}
}

// RowOf returns ROW<fields>.
func RowOf(fields ...Field) Type { return Type{Kind: Row, Fields: fields} }

// Elem returns the element type of an ARRAY.
func (t Type) Elem() Type { return t.Fields[0].Type }

// Equal reports whether two types are the same, nullability aside.
func (t Type) Equal(u Type) bool {
	if t.Kind != u.Kind || len(t.Fields) != len(u.Fields) {
		return false
	}
	if t.Kind == Decimal && (t.Precision != u.Precision || t.Scale != u.Scale) {
		return false
	}
	for i := range t.Fields {
		if t.Kind == Row && t.Fields[i].Name != u.Fields[i].Name || !t.Fields[i].Type.Equal(u.Fields[i].Type) {
			return false
		}
	}
	return true
}

// String writes the type as Flink's SQL does: DECIMAL(10, 2), ROW<`a` INT>, TIMESTAMP(3).
func (t Type) String() string {
	var s string
	switch t.Kind {
	case Decimal:
		s = fmt.Sprintf("DECIMAL(%d, %d)", t.Precision, t.Scale)
	case Timestamp, TimestampLTZ:
		s = fmt.Sprintf("%s(%d)", t.Kind, t.Precision)
	case Row:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = "`" + f.Name + "` " + f.Type.String()
		}
		s = "ROW<" + strings.Join(parts, ", ") + ">"
	case Array:
		s = "ARRAY<" + t.Fields[0].Type.String() + ">"
	case Map:
		s = "MAP<" + t.Fields[0].Type.String() + ", " + t.Fields[1].Type.String() + ">"
	default:
		s = t.Kind.String()
	}
	if t.NotNull {
		s += " NOT NULL"
	}
	return s
}

// Width is the bytes of one value in a column's data buffer; 0 for bitmaps, variable-length and nested kinds.
func (k Kind) Width() int {
	switch k {
	case Int8:
		return 1
	case Int16:
		return 2
	case Int32, Float32, Date, Time, IntervalYM:
		return 4
	case Int64, Float64, Timestamp, TimestampLTZ, IntervalDT:
		return 8
	case Decimal:
		return 16
	default:
		return 0
	}
}

// Nullable returns t without its NOT NULL.
func (t Type) Nullable() Type { t.NotNull = false; return t }

// IsInteger, IsNumeric, IsString, IsTime classify kinds for type checking.
func (k Kind) IsInteger() bool { return k >= Int8 && k <= Int64 }

// IsNumeric reports integers, floats and decimals.
func (k Kind) IsNumeric() bool { return k >= Int8 && k <= Decimal }

// IsBinaryLike reports kinds with int32 offsets into bytes: STRING and BYTES.
func (k Kind) IsBinaryLike() bool { return k == String || k == Bytes }

// IsTimestamp reports TIMESTAMP and TIMESTAMP_LTZ.
func (k Kind) IsTimestamp() bool { return k == Timestamp || k == TimestampLTZ }

// IsNested reports ROW, ARRAY and MAP.
func (k Kind) IsNested() bool { return k >= Row && k <= Map }

// Schema names and types a batch's columns. It is immutable once a batch uses it.
type Schema struct {
	Fields []Field `json:"fields"`
}

// NewSchema returns a schema of the fields.
func NewSchema(fields ...Field) *Schema { return &Schema{Fields: fields} }

// Index returns the position of the column, or -1. Names are case-sensitive, as in Flink.
func (s *Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Len is the number of columns.
func (s *Schema) Len() int { return len(s.Fields) }

// String is the schema as "(a INT, b STRING)".
func (s *Schema) String() string {
	parts := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		parts[i] = f.Name + " " + f.Type.String()
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// Equal reports whether two schemas have the same names and types.
func (s *Schema) Equal(o *Schema) bool {
	if len(s.Fields) != len(o.Fields) {
		return false
	}
	for i := range s.Fields {
		if s.Fields[i].Name != o.Fields[i].Name || !s.Fields[i].Type.Equal(o.Fields[i].Type) {
			return false
		}
	}
	return true
}
