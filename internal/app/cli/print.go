package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// printJSON prints messages as one JSON value: an array when list is set. Names are those of the proto files, and states Flink's words.
func printJSON[M proto.Message](c *cli, list bool, messages ...M) error {
	all := make([]json.RawMessage, 0, len(messages))
	for _, m := range messages {
		data, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
		if err != nil {
			return err
		}
		all = append(all, data)
	}
	var value any = all
	if !list {
		value = all[0]
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	// protojson varies its spaces on purpose; going through a tree makes the output stable, with numbers as they are.
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return err
	}
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(plainStates(tree))
}

// plainStates cuts the prefixes that protobuf's style asks of enum values.
func plainStates(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = plainStates(x)
		}
	case []any:
		for i, x := range v {
			v[i] = plainStates(x)
		}
	case string:
		for _, prefix := range []string{"JOB_STATE_", "TASK_STATE_"} {
			if rest, ok := strings.CutPrefix(v, prefix); ok {
				return rest
			}
		}
	}
	return v
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

func duration(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}
