package parse

import (
	"fmt"
	"reflect"
	"strings"
)

// dump prints a tree, one node a line with its position, fields that hold
// their zero value left out.
func dump(n any) string {
	var b strings.Builder
	dumpValue(&b, reflect.ValueOf(n), 0, "")
	return b.String()
}

func dumpValue(b *strings.Builder, v reflect.Value, depth int, label string) {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	indent := strings.Repeat("  ", depth)
	if label != "" {
		indent += label + ": "
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%s%x\n", indent, v.Bytes())
			return
		}
		for i := range v.Len() {
			dumpValue(b, v.Index(i), depth, fmt.Sprintf("%s[%d]", label, i))
		}
	case reflect.Struct:
		if s, ok := v.Interface().(Span); ok {
			fmt.Fprintf(b, "%s%d:%d [%d,%d)\n", indent, s.Line, s.Col, s.Start, s.End)
			return
		}
		if s, ok := v.Interface().(fmt.Stringer); ok && v.NumField() < 3 || v.Type().String() == "time.Time" {
			fmt.Fprintf(b, "%s%v\n", indent, s)
			return
		}
		dumpStruct(b, v, depth, indent)
	default:
		fmt.Fprintf(b, "%s%v\n", indent, v.Interface())
	}
}

func dumpStruct(b *strings.Builder, v reflect.Value, depth int, indent string) {
	t := v.Type()
	fmt.Fprintf(b, "%s%s", indent, t.Name())
	if f := v.FieldByName("Span"); f.IsValid() {
		s := f.Interface().(Span)
		fmt.Fprintf(b, " %d:%d [%d,%d)", s.Line, s.Col, s.Start, s.End)
	}
	// What is short stands on the node's own line.
	for i := range t.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint8:
			if !f.IsZero() {
				format := " %s=%v"
				if f.Kind() == reflect.String {
					format = " %s=%q"
				}
				fmt.Fprintf(b, format, t.Field(i).Name, f.Interface())
			}
		}
	}
	b.WriteString("\n")
	for i := range t.NumField() {
		f := v.Field(i)
		if t.Field(i).Name == "Span" || f.IsZero() {
			continue
		}
		switch f.Kind() {
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint8:
		default:
			dumpValue(b, f, depth+1, t.Field(i).Name)
		}
	}
}
