package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// gatewayKinds are Flink's names of the kinds of rows.
var gatewayKinds = [...]string{"INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE"}

// result is the only row of a statement that is done at once.
func (o *gatewayOperation) result(kind, jobID, column, value string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, _ := gatewayType("STRING")
	text, _ := json.Marshal(value) //nolint:errchkjson // text
	o.mu.columns = []gatewayColumn{{Name: column, LogicalType: t}}
	o.mu.rows = []gatewayRow{{"INSERT", []json.RawMessage{text}}}
	o.mu.kind, o.mu.jobID, o.mu.ready = kind, jobID, true
}

// take takes in what a query says. It waits while too many rows have not been fetched.
func (o *gatewayOperation) take(ctx context.Context, m *pb.PreviewResponse) error {
	switch m := m.Message.(type) {
	case *pb.PreviewResponse_Columns:
		var columns []gatewayColumn
		for _, c := range m.Columns.Columns {
			t, ok := gatewayType(c.Type)
			if !ok {
				return &gatewayError{http.StatusBadRequest, fmt.Sprintf("column %q is %s, which the gateway does not pass on: CAST it AS STRING", c.Name, c.Type)}
			}
			columns = append(columns, gatewayColumn{Name: c.Name, LogicalType: t})
		}
		o.mu.Lock()
		o.mu.columns, o.mu.kind, o.mu.query, o.mu.ready = columns, "SUCCESS_WITH_CONTENT", true, true
		o.mu.Unlock()
	case *pb.PreviewResponse_Rows:
		var rows [][]json.RawMessage
		if err := json.Unmarshal(m.Rows.RowsJson, &rows); err != nil {
			return err
		}
		for i, fields := range rows {
			if len(fields) != o.width() {
				return fmt.Errorf("a row of %d values in place of %d", len(fields), o.width())
			}
			kind := byte(0)
			if i < len(m.Rows.Kinds) {
				kind = m.Rows.Kinds[i]
			}
			if err := o.put(ctx, gatewayRow{gatewayKinds[kind&3], fields}); err != nil {
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

func (o *gatewayOperation) put(ctx context.Context, r gatewayRow) error {
	for {
		o.mu.Lock()
		if len(o.mu.rows) < gatewayPageMax {
			for i, c := range o.mu.columns {
				if root, _ := c.LogicalType["type"].(string); strings.HasPrefix(root, "TIMESTAMP") { // ISO 8601
					r.Fields[i] = bytes.Replace(r.Fields[i], []byte(" "), []byte("T"), 1)
				}
			}
			o.mu.rows = append(o.mu.rows, r)
			o.mu.Unlock()
			return nil
		}
		wake := o.mu.wake
		o.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
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
	if f := r.URL.Query().Get("rowFormat"); f != "" && !strings.EqualFold(f, "JSON") {
		return nil, &gatewayError{http.StatusBadRequest, "rowFormat " + f + ": rows come as JSON only"}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	here := strings.TrimSuffix(r.URL.Path, r.PathValue("token"))
	next := func(t int64) string { return here + strconv.FormatInt(t, 10) + "?rowFormat=JSON" }
	switch {
	case o.mu.err != nil:
		return nil, o.mu.err
	case o.mu.state == "CANCELED":
		return nil, &gatewayError{http.StatusBadRequest, "the operation was cancelled"}
	case !o.mu.ready:
		return object{"resultType": "NOT_READY", "nextResultUri": next(0)}, nil
	case token == o.mu.token && o.mu.over && len(o.mu.rows) == 0:
		return o.document("EOS", nil, ""), nil
	case token == o.mu.token:
		o.mu.page, o.mu.rows = o.mu.rows, nil
		o.mu.token++
		close(o.mu.wake)
		o.mu.wake = make(chan struct{})
	case token != o.mu.token-1:
		return nil, &gatewayError{http.StatusBadRequest, fmt.Sprintf("the token is to be %d, or %d again", o.mu.token, max(o.mu.token-1, 0))}
	}
	return o.document("PAYLOAD", o.mu.page, next(o.mu.token)), nil
}

// document is a page. The operation is locked.
func (o *gatewayOperation) document(resultType string, rows []gatewayRow, next string) object {
	d := object{
		"resultType": resultType, "isQueryResult": o.mu.query, "resultKind": o.mu.kind,
		"results": object{"columns": o.mu.columns, "rowFormat": "JSON", "data": append([]gatewayRow{}, rows...)},
	}
	if o.mu.jobID != "" {
		d["jobID"] = o.mu.jobID
	}
	if next != "" {
		d["nextResultUri"] = next
	}
	return d
}
