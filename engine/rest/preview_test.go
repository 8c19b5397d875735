package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// fakePreviews sends messages, and ends with err.
type fakePreviews struct {
	messages []*pb.PreviewResponse
	err      error
	asked    *pb.PreviewRequest
}

func (f *fakePreviews) Preview(_ context.Context, req *pb.PreviewRequest, send func(*pb.PreviewResponse) error) error {
	f.asked = req
	for _, m := range f.messages {
		if err := send(m); err != nil {
			return err
		}
	}
	return f.err
}

type placedError struct{ error }

func (placedError) Place() (line, column int)    { return 1, 8 }
func (e placedError) GRPCStatus() *status.Status { return status.New(codes.Aborted, e.Error()) }

func TestPreviewEvents(t *testing.T) {
	f := &fakePreviews{messages: []*pb.PreviewResponse{
		{Message: &pb.PreviewResponse_Columns{Columns: &pb.PreviewColumns{Columns: []*pb.PreviewColumn{{Name: "n", Type: "BIGINT"}}}}},
		{Message: &pb.PreviewResponse_Waiting{Waiting: "needs 2 slots"}},
		{Message: &pb.PreviewResponse_Rows{Rows: &pb.PreviewRows{RowsJson: []byte(`[[1],["<a>"]]`), Kinds: []byte{1, 2}}}},
		{Message: &pb.PreviewResponse_End{End: &pb.PreviewEnd{Reason: "maxRows", Rows: 2}}},
	}}
	s, _ := newFake(t, Access{})
	s.cfg.Previews = f
	w := call(t, s, http.MethodPost, "/api/v1/sql/preview", `{"script":"SELECT 1","maxRows":2}`)
	want := "event: columns\ndata: [{\"name\":\"n\",\"type\":\"BIGINT\"}]\n\n" +
		"event: waiting\ndata: {\"reason\":\"needs 2 slots\"}\n\n" +
		"event: rows\ndata: {\"rows\":[[1],[\"<a>\"]],\"kinds\":[\"-U\",\"+U\"]}\n\n" +
		"event: end\ndata: {\"reason\":\"maxRows\",\"rows\":2}\n\n"
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("got %d\n%s\nwant\n%s", w.Code, w.Body, want)
	}
	if f.asked.RowsMax != 2 || f.asked.TimeoutMs != previewTimeUsual.Milliseconds() || f.asked.Script.Text != "SELECT 1" {
		t.Errorf("asked %v", f.asked)
	}
	if len(s.streams) != 0 {
		t.Error("the stream is still counted")
	}
}

func TestPreviewErrors(t *testing.T) {
	begun := []*pb.PreviewResponse{{Message: &pb.PreviewResponse_Columns{Columns: &pb.PreviewColumns{}}}}
	for _, c := range []struct {
		name, body string
		f          fakePreviews
		access     Access
		code       int
		want       string
	}{
		{"before", `{"script":"x"}`, fakePreviews{err: status.Error(codes.ResourceExhausted, "16 previews")}, Access{}, 429, `{"errors":["16 previews"]}`},
		{"mistake", `{"script":"x"}`, fakePreviews{err: status.Error(codes.InvalidArgument, "1:1: no")}, Access{}, 400, `{"errors":["1:1: no"]`},
		{
			"while it runs", `{"script":"SELECT foo"}`,
			fakePreviews{messages: begun, err: placedError{errors.New("1:8: failed")}},
			Access{},
			200,
			"event: error\ndata: {\"errors\":[\"1:8: failed\"],\"diagnostics\":[{\"line\":1,\"column\":8,\"endLine\":1,\"endColumn\":11,\"message\":\"1:8: failed\"}]}",
		},
		{"rows", `{"script":"x","maxRows":1001}`, fakePreviews{}, Access{}, 400, "maxRows: 1 to 1000"},
		{"time", `{"script":"x","timeoutMs":60001}`, fakePreviews{}, Access{}, 400, "timeoutMs: 1 to 60000"},
		{"read-only", `{"script":"x"}`, fakePreviews{}, Access{ReadOnly: true}, 403, "read-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newFake(t, c.access)
			s.cfg.Previews = &c.f
			w := call(t, s, http.MethodPost, "/api/v1/sql/preview", c.body)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s\nwant %d %s", w.Code, w.Body, c.code, c.want)
			}
		})
	}
}
