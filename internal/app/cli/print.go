package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// printJSON prints messages as one JSON value: an array when list is set. Names are those of the proto files, states Flink's words,
// numbers numbers: unlike protojson, which writes 64-bit ones as strings. All of ours are below 2^53.
func printJSON[M proto.Message](c *cli, list bool, messages ...M) error {
	all := make([]any, 0, len(messages))
	for _, m := range messages {
		all = append(all, messageValue(m.ProtoReflect()))
	}
	var value any = all
	if !list {
		value = all[0]
	}
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// messageValue has every field, except messages and optional ones that are not set.
func messageValue(m protoreflect.Message) any {
	object := map[string]any{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.HasPresence() && !m.Has(f) {
			continue
		}
		v := m.Get(f)
		switch {
		case f.IsMap():
			entries := map[string]any{}
			v.Map().Range(func(k protoreflect.MapKey, x protoreflect.Value) bool {
				entries[k.String()] = fieldValue(f.MapValue(), x)
				return true
			})
			object[string(f.Name())] = entries
		case f.IsList():
			items := make([]any, v.List().Len())
			for k := range items {
				items[k] = fieldValue(f, v.List().Get(k))
			}
			object[string(f.Name())] = items
		default:
			object[string(f.Name())] = fieldValue(f, v)
		}
	}
	return object
}

func fieldValue(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return messageValue(v.Message())
	case protoreflect.EnumKind:
		// The names have the prefix that protobuf's style asks for.
		name := string(f.Enum().Values().ByNumber(v.Enum()).Name())
		for _, prefix := range []string{"JOB_STATE_", "TASK_STATE_"} {
			name = strings.TrimPrefix(name, prefix)
		}
		return name
	default:
		return v.Interface()
	}
}

func jobState(s pb.JobState) string   { return strings.TrimPrefix(s.String(), "JOB_STATE_") }
func taskState(s pb.TaskState) string { return strings.TrimPrefix(s.String(), "TASK_STATE_") }

func ended(s pb.JobState) bool {
	return s == pb.JobState_JOB_STATE_FAILED || s == pb.JobState_JOB_STATE_CANCELED || s == pb.JobState_JOB_STATE_FINISHED
}

// newTable returns a plain table that prints to c.out at Render.
func (c *cli) newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(c.out)
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	t.AppendHeader(table.Row(header))
	return t
}

// clock is a time as people read it, "-" for none.
func clock(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).Format("2006-01-02 15:04:05")
}

// bytesText is a size with three digits or so.
func bytesText(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %ciB", f, units[u])
	}
	return fmt.Sprintf("%.0f %ciB", f, units[u])
}

// watermark is an event time, "-" before the first and "end" after the last.
func watermark(ms *int64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms >= 1<<62:
		return "end"
	}
	return time.UnixMilli(*ms).UTC().Format("2006-01-02 15:04:05.000Z")
}

// duration is exact to the second, for what took less than ten to the hundredth.
func duration(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
