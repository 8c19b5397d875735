package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/internal/app"
)

// command runs SHOW, DESCRIBE, USE and STOP JOB, as the SQL gateway does.
func (r *sqlRun) command(ctx context.Context, stmt string) error {
	st, _, err := app.Command(r.session.kept, scriptFile, stmt)
	if err != nil {
		return r.session.placed(err, 0)
	}
	switch st.Does { //nolint:exhaustive // others are no commands
	case rest.StatementAnswer:
		if r.output == "table" && len(st.Columns) == 1 && st.Columns[0].Name == "result" { // what can be put into a script
			fmt.Fprintln(r.out, strings.TrimSpace(fmt.Sprint(st.Rows[0][0]))+";")
			return nil
		}
		return r.list(st.Columns, st.Rows)
	case rest.StatementShowJobs, rest.StatementDescribeJob:
		return r.jobs(ctx, st.Job)
	case rest.StatementStopJob:
		return r.stop(ctx, st)
	}
	return r.done()
}

// done says that a statement without a result is done.
func (r *sqlRun) done() error {
	if r.output == "table" {
		fmt.Fprintln(r.out, "ok")
	}
	return nil
}

// jobs lists the jobs, or those whose ID begins so.
func (r *sqlRun) jobs(ctx context.Context, id string) error {
	all, err := r.session.cluster.Jobs(ctx)
	if err != nil {
		return err
	}
	columns := rest.JobColumns()
	rows := [][]any{}
	for _, j := range all {
		if !strings.HasPrefix(j.JobId, id) {
			continue
		}
		at := any(rest.TimestampText(j.SubmittedAtMs))
		if r.output == "table" {
			at = time.UnixMilli(j.SubmittedAtMs).Format("01-02 15:04:05") // so that a line fits into 80 columns
		}
		rows = append(rows, []any{j.JobId, clean(j.Name), jobState(j.State), at})
	}
	if id != "" && len(rows) == 0 {
		return fmt.Errorf("there is no job %s", id)
	}
	return r.list(columns, rows)
}

// stop cancels a job, or ends it with a savepoint.
func (r *sqlRun) stop(ctx context.Context, st rest.Statement) error {
	if !st.Savepoint {
		if _, _, err := r.session.cluster.Cancel(ctx, st.Job); err != nil {
			return err
		}
		return r.done()
	}
	resp, err := r.session.cluster.Stop(ctx, st.Job, "", st.Drain)
	if err != nil {
		return err
	}
	return r.list([]rest.PreviewColumn{{Name: "savepoint path", Type: "STRING"}}, [][]any{{resp.Path}})
}

// list prints a small table. A table has no columns that are empty throughout.
func (r *sqlRun) list(columns []rest.PreviewColumn, rows [][]any) error {
	switch r.output {
	case "json":
		for _, row := range rows {
			var line bytes.Buffer
			for i, c := range columns {
				name, err := json.Marshal(c.Name)
				if err != nil {
					return err
				}
				value, err := json.Marshal(row[i])
				if err != nil {
					return err
				}
				line.WriteByte("{,"[min(i, 1)])
				line.Write(name)
				line.WriteByte(':')
				line.Write(value)
			}
			fmt.Fprintf(r.out, "%s}\n", &line)
		}
		return nil
	case "csv":
		w := csv.NewWriter(r.out)
		header := make([]string, len(columns))
		for i, c := range columns {
			header[i] = c.Name
		}
		w.Write(header) //nolint:errcheck // Error tells
		for _, row := range rows {
			w.Write(texts(row)) //nolint:errcheck // Error tells
		}
		w.Flush()
		return w.Error()
	}
	var t liveTable
	var shown []int
	for i, c := range columns {
		empty := len(rows) > 0
		for _, row := range rows {
			empty = empty && row[i] == nil
		}
		if !empty {
			shown = append(shown, i)
			t.names, t.types = append(t.names, c.Name), append(t.types, "")
		}
	}
	for _, row := range rows {
		all, out := texts(row), make([]string, 0, len(shown))
		for _, i := range shown {
			out = append(out, all[i])
		}
		data, err := json.Marshal(out)
		if err != nil {
			return err
		}
		t.rows = append(t.rows, data)
	}
	for _, line := range t.lines(len(rows), 0) {
		fmt.Fprintln(r.out, line)
	}
	return nil
}

// texts are the values of a row, what is missing as nothing.
func texts(row []any) []string {
	out := make([]string, len(row))
	for i, v := range row {
		if v != nil {
			out[i] = fmt.Sprint(v)
		}
	}
	return out
}
