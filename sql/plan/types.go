package plan

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/sql/parse"
)

// vecType turns a type as written into the engine's. The error has no position.
func vecType(t *parse.Type) (vec.Type, error) {
	v, err := vecKind(t)
	v.NotNull = t.NotNull
	return v, err
}

var plainTypes = map[parse.TypeKind]vec.Type{
	parse.TypeBoolean:   vec.TypeBool,
	parse.TypeTinyInt:   vec.TypeInt8,
	parse.TypeSmallInt:  vec.TypeInt16,
	parse.TypeInt:       vec.TypeInt32,
	parse.TypeBigInt:    vec.TypeInt64,
	parse.TypeFloat:     vec.TypeFloat32,
	parse.TypeDouble:    vec.TypeFloat64,
	parse.TypeChar:      vec.TypeString,
	parse.TypeVarChar:   vec.TypeString,
	parse.TypeBinary:    vec.TypeBytes,
	parse.TypeVarBinary: vec.TypeBytes,
	parse.TypeDate:      vec.TypeDate,
}

func vecKind(t *parse.Type) (vec.Type, error) {
	if v, ok := plainTypes[t.Kind]; ok {
		return v, nil
	}
	switch t.Kind {
	case parse.TypeDecimal:
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
			return vec.Type{}, fmt.Errorf("DECIMAL(%d, %d) is not possible: the precision is 1 to 38, the scale 0 to the precision", t.Precision, t.Scale)
		}
		return vec.DecimalOf(uint8(t.Precision), uint8(t.Scale)), nil
	case parse.TypeTime, parse.TypeTimestamp, parse.TypeTimestampLTZ:
		if t.Precision < 0 || t.Precision > 9 {
			return vec.Type{}, fmt.Errorf("the precision of a time is 0 to 9, not %d", t.Precision)
		}
		kind := map[parse.TypeKind]vec.Kind{
			parse.TypeTime: vec.Time, parse.TypeTimestamp: vec.Timestamp, parse.TypeTimestampLTZ: vec.TimestampLTZ,
		}[t.Kind]
		return vec.Type{Kind: kind, Precision: uint8(t.Precision)}, nil
	case parse.TypeInterval:
		if t.Interval != nil && t.Interval.YearMonth() {
			return vec.TypeIntervalYM, nil
		}
		return vec.TypeIntervalDT, nil
	case parse.TypeArray:
		e, err := vecType(t.Elem)
		return vec.ArrayOf(e), err
	case parse.TypeMap:
		k, err := vecType(t.Key)
		if err != nil {
			return vec.Type{}, err
		}
		e, err := vecType(t.Elem)
		return vec.MapOf(k, e), err
	case parse.TypeRow:
		fields := make([]vec.Field, len(t.Fields))
		for i, f := range t.Fields {
			ft, err := vecType(f.Type)
			if err != nil {
				return vec.Type{}, err
			}
			fields[i] = vec.Field{Name: f.Name.Name, Type: ft}
		}
		return vec.RowOf(fields...), nil
	case parse.TypeMultiset:
		return vec.Type{}, fmt.Errorf("MULTISET is not supported; use ARRAY")
	default:
		return vec.Type{}, fmt.Errorf("this type is not supported")
	}
}
