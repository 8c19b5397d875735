package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// gatewayOperation is a statement that runs or has run.
type gatewayOperation struct {
	ctx    context.Context //nolint:containedctx // the operation's life, not a call's
	cancel context.CancelFunc
	ended  chan struct{}
	// zone is where TIMESTAMP_LTZ is shown, nil for UTC.
	zone *time.Location
	mu   struct {
		sync.Mutex
		// wake is closed, and replaced, when there is room for rows again.
		wake    chan struct{}
		columns []gatewayColumn
		types   []*gatewayType
		kind    string
		query   bool
		jobID   string
		ready   bool
		over    bool
		state   string
		err     error
		// rows wait, with that many bytes; page is what token-1 was answered with. Both are as previews write them.
		rows, page []gatewayRow
		bytes      int
		token      int64
	}
}

type gatewayRow struct {
	Kind   string            `json:"kind"`
	Fields []json.RawMessage `json:"fields"`
}

type gatewayColumn struct {
	Name        string  `json:"name"`
	LogicalType object  `json:"logicalType"`
	Comment     *string `json:"comment"`
}

// gatewayKinds are Flink's names of the kinds of rows.
var gatewayKinds = [...]string{"INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE"}

// The forms of rows: values as JSON, or as text.
const (
	rowsJSON  = "JSON"
	rowsPlain = "PLAIN_TEXT"
)

// ok is the result of a statement that has none.
func (o *gatewayOperation) ok() error {
	err := o.result("", []PreviewColumn{{"result", "STRING"}}, [][]any{{"OK"}})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.kind = "SUCCESS"
	return err
}

// result is that of a statement that is done at once.
func (o *gatewayOperation) result(jobID string, columns []PreviewColumn, rows [][]any) error {
	columnsOf, types, err := gatewayColumns(columns)
	if err != nil {
		return err
	}
	all := make([]gatewayRow, len(rows))
	for i, row := range rows {
		all[i].Kind = gatewayKinds[0]
		for _, v := range row {
			data, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if text, ok := v.(string); ok {
				data = jsonText(text)
			}
			all[i].Fields = append(all[i].Fields, data)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.columns, o.mu.types, o.mu.rows = columnsOf, types, all
	o.mu.kind, o.mu.jobID, o.mu.ready = "SUCCESS_WITH_CONTENT", jobID, true
	return nil
}

func gatewayColumns(columns []PreviewColumn) (documents []gatewayColumn, types []*gatewayType, err error) {
	for _, c := range columns {
		t, err := gatewayTypeOf(c.Type)
		if err != nil {
			return nil, nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		documents, types = append(documents, gatewayColumn{Name: c.Name, LogicalType: t.document()}), append(types, t)
	}
	return documents, types, nil
}

// take takes in what a query says. It waits while too many rows have not been fetched.
func (o *gatewayOperation) take(m *pb.PreviewResponse) error {
	switch m := m.Message.(type) {
	case *pb.PreviewResponse_Columns:
		var columns []PreviewColumn
		for _, c := range m.Columns.Columns {
			columns = append(columns, PreviewColumn{c.Name, c.Type})
		}
		documents, types, err := gatewayColumns(columns)
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.mu.columns, o.mu.types, o.mu.kind, o.mu.query, o.mu.ready = documents, types, "SUCCESS_WITH_CONTENT", true, true
		o.mu.Unlock()
	case *pb.PreviewResponse_Rows:
		var rows [][]json.RawMessage
		if err := json.Unmarshal(m.Rows.RowsJson, &rows); err != nil {
			return err
		}
		width := o.width()
		for i, fields := range rows {
			if len(fields) != width {
				return fmt.Errorf("a row of %d values in place of %d", len(fields), width)
			}
			kind := byte(0)
			if i < len(m.Rows.Kinds) {
				kind = m.Rows.Kinds[i]
			}
			if err := o.put(gatewayRow{gatewayKinds[kind&3], fields}); err != nil {
				return err
			}
		}
	case *pb.PreviewResponse_Waiting, *pb.PreviewResponse_End:
	}
	return nil
}

// width is how many columns there are.
func (o *gatewayOperation) width() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.mu.columns)
}

func (o *gatewayOperation) put(r gatewayRow) error {
	for {
		o.mu.Lock()
		if len(o.mu.rows) < gatewayPageMax && o.mu.bytes < gatewayPageBytesMax {
			for _, f := range r.Fields {
				o.mu.bytes += len(f)
			}
			o.mu.rows = append(o.mu.rows, r)
			o.mu.Unlock()
			return nil
		}
		wake := o.mu.wake
		o.mu.Unlock()
		select {
		case <-wake:
		case <-o.ctx.Done():
			return o.ctx.Err()
		}
	}
}

// end says how it went.
func (o *gatewayOperation) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.over = true
	switch {
	case o.mu.state != "RUNNING": // cancelled, or closed
	case err != nil:
		o.mu.state, o.mu.err = "ERROR", err
	default:
		o.mu.state = "FINISHED"
	}
}

// stop ends it, unless it has ended.
func (o *gatewayOperation) stop(state string) {
	o.mu.Lock()
	if !o.mu.over && o.mu.state == "RUNNING" {
		o.mu.state = state
	}
	o.mu.Unlock()
	o.cancel()
}

// status is as in Flink: a query whose rows can be fetched is finished.
func (o *gatewayOperation) status() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.state == "RUNNING" && o.mu.ready {
		return "FINISHED"
	}
	return o.mu.state
}

// gatewayFetch answers with the rows that have come since the token before; the same token again gives the same rows.
func gatewayFetch(r *http.Request, o *gatewayOperation) (any, error) {
	token, err := strconv.ParseInt(r.PathValue("token"), 10, 64)
	if err != nil {
		return nil, &gatewayError{http.StatusBadRequest, "the token has to be a number"}
	}
	format := rowsJSON
	if f := r.URL.Query().Get("rowFormat"); f != "" {
		if format = strings.ToUpper(f); format != rowsJSON && format != rowsPlain {
			return nil, &gatewayError{http.StatusBadRequest, "rowFormat " + f + ": " + rowsJSON + " or " + rowsPlain + " is wanted"}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	here := strings.TrimSuffix(r.URL.Path, r.PathValue("token"))
	next := func(t int64) string { return here + strconv.FormatInt(t, 10) + "?rowFormat=" + format }
	switch {
	case o.mu.err != nil:
		return nil, o.mu.err
	case o.mu.state == "CANCELED":
		return nil, &gatewayError{http.StatusBadRequest, "the operation was cancelled"}
	case !o.mu.ready:
		return object{"resultType": "NOT_READY", "nextResultUri": next(0)}, nil
	case token == o.mu.token && o.mu.over && len(o.mu.rows) == 0:
		return o.document("EOS", format, nil, "")
	case token == o.mu.token:
		o.mu.page, o.mu.rows, o.mu.bytes = o.mu.rows, nil, 0
		o.mu.token++
		close(o.mu.wake)
		o.mu.wake = make(chan struct{})
	case token != o.mu.token-1:
		return nil, &gatewayError{http.StatusBadRequest, fmt.Sprintf("the token is to be %d, or %d again", o.mu.token, max(o.mu.token-1, 0))}
	}
	return o.document("PAYLOAD", format, o.mu.page, next(o.mu.token))
}

// document is a page. The operation is locked.
func (o *gatewayOperation) document(resultType, format string, rows []gatewayRow, next string) (any, error) {
	data := make([]gatewayRow, len(rows))
	for i, row := range rows {
		data[i] = gatewayRow{row.Kind, make([]json.RawMessage, len(row.Fields))}
		for f, raw := range row.Fields {
			v, err := o.mu.types[f].value(raw, format == rowsPlain, o.zone)
			if err != nil {
				return nil, err
			}
			data[i].Fields[f] = v
		}
	}
	d := object{
		"resultType": resultType, "isQueryResult": o.mu.query, "resultKind": o.mu.kind,
		"results": object{"columns": o.mu.columns, "rowFormat": format, "data": data},
	}
	if o.mu.jobID != "" {
		d["jobID"] = o.mu.jobID
	}
	if next != "" {
		d["nextResultUri"] = next
	}
	return d, nil
}
