package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// newGateway reads statements by their first word.
func newGateway(t *testing.T, f *fakePreviews) *Server {
	t.Helper()
	s, _ := newFake(t, Access{})
	s.cfg.Previews = f
	s.cfg.Language.Statement = func(kept []string, text string) (Statement, error) {
		st := Statement{Text: text, Script: strings.Join(append(kept, text), ";")}
		switch first, _, _ := strings.Cut(text, " "); first {
		case "SELECT":
			st.Does = StatementQuery
		case "INSERT":
			st.Does = StatementJob
		case "EXPLAIN":
			st.Does, st.Answer = StatementAnswer, "plan"
		case "CREATE":
		default:
			return st, errors.New("1:1: unknown statement")
		}
		return st, nil
	}
	return s
}

// ask makes a request that has to be answered with a code.
func ask(t *testing.T, s *Server, code int, method, path, body string) map[string]any {
	t.Helper()
	w := call(t, s, method, path, body)
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != code {
		t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, code)
	}
	return v
}

// execute runs a statement and returns where the operation is, once it has ended.
func execute(t *testing.T, s *Server, session, statement string) string {
	t.Helper()
	id := fmt.Sprint(ask(t, s, http.StatusOK, http.MethodPost, "/v2/sessions/"+session+"/statements", `{"statement":"`+statement+`"}`)["operationHandle"])
	s.gateway.mu.Lock()
	o := s.gateway.mu.sessions[session].operations[id]
	s.gateway.mu.Unlock()
	<-o.ended
	return "/v2/sessions/" + session + "/operations/" + id
}

func TestGateway(t *testing.T) {
	f := &fakePreviews{messages: []*pb.PreviewResponse{
		{Message: &pb.PreviewResponse_Columns{Columns: &pb.PreviewColumns{Columns: []*pb.PreviewColumn{{Name: "n", Type: "BIGINT NOT NULL"}, {Name: "at", Type: "TIMESTAMP(3)"}}}}},
		{Message: &pb.PreviewResponse_Rows{Rows: &pb.PreviewRows{RowsJson: []byte(`[[1,"2020-01-01 00:00:00.000"],[2,null]]`), Kinds: []byte{0, 3}}}},
		{Message: &pb.PreviewResponse_End{End: &pb.PreviewEnd{Reason: "finished", Rows: 2}}},
	}}
	s := newGateway(t, f)
	if v := ask(t, s, 200, "GET", "/v1/info", ""); v["productName"] != "Apache Flink" {
		t.Errorf("info %v", v)
	}
	if v := ask(t, s, 200, "GET", "/api_versions", ""); fmt.Sprint(v["versions"]) != "[V1 V2 V3]" {
		t.Errorf("versions %v", v)
	}
	session := fmt.Sprint(ask(t, s, 200, "POST", "/v2/sessions", `{"properties":{"parallelism.default":"2"}}`)["sessionHandle"])
	if v := ask(t, s, 200, "GET", "/v2/sessions/"+session, ""); fmt.Sprint(v["properties"]) != "map[parallelism.default:2]" {
		t.Errorf("properties %v", v)
	}
	ask(t, s, 200, "POST", "/v2/sessions/"+session+"/heartbeat", "")
	ask(t, s, 200, "POST", "/v2/sessions/"+session+"/configure-session", `{"statement":"CREATE a"}`)
	ask(t, s, 400, "POST", "/v2/sessions/"+session+"/configure-session", `{"statement":"SELECT 1"}`)

	at := execute(t, s, session, "SELECT 1")
	if f.asked.Script.Text != "CREATE a;SELECT 1" || f.asked.Script.Config["parallelism.default"] != "2" {
		t.Errorf("ran %v", f.asked)
	}
	w := call(t, s, "GET", at+"/result/0?rowFormat=JSON", "")
	want := `{"isQueryResult":true,"nextResultUri":"` + at + `/result/1?rowFormat=JSON","resultKind":"SUCCESS_WITH_CONTENT","resultType":"PAYLOAD","results":{"columns":[` +
		`{"name":"n","logicalType":{"nullable":false,"type":"BIGINT"},"comment":null},{"name":"at","logicalType":{"nullable":true,"precision":3,"type":"TIMESTAMP_WITHOUT_TIME_ZONE"},"comment":null}],` +
		`"data":[{"kind":"INSERT","fields":[1,"2020-01-01T00:00:00.000"]},{"kind":"DELETE","fields":[2,null]}],"rowFormat":"JSON"}}`
	if w.Body.String() != want {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
	if again := call(t, s, "GET", at+"/result/0?rowFormat=JSON", ""); again.Body.String() != want {
		t.Errorf("the same token: %s", again.Body)
	}
	if v := ask(t, s, 200, "GET", at+"/result/1", ""); v["resultType"] != "EOS" || v["nextResultUri"] != nil {
		t.Errorf("the end %v", v)
	}
	ask(t, s, 400, "GET", at+"/result/7", "")
	ask(t, s, 400, "GET", at+"/result/1?rowFormat=PLAIN_TEXT", "")
	if v := ask(t, s, 200, "GET", at+"/status", ""); v["status"] != "FINISHED" {
		t.Errorf("status %v", v)
	}
	if v := ask(t, s, 200, "DELETE", at+"/close", ""); v["status"] != "CLOSED" {
		t.Errorf("close %v", v)
	}
	ask(t, s, 404, "GET", at+"/status", "")

	at = execute(t, s, session, "INSERT x")
	if v := ask(t, s, 200, "GET", at+"/result/0", ""); v["jobID"] == nil || !strings.Contains(fmt.Sprint(v["results"]), fmt.Sprint(v["jobID"])) {
		t.Errorf("a job %v", v)
	}
	at = execute(t, s, session, "SELEC")
	if v := ask(t, s, 500, "GET", at+"/result/0", ""); !strings.Contains(fmt.Sprint(v["errors"]), "1:1: unknown statement") {
		t.Errorf("a mistake %v", v)
	}
	if v := ask(t, s, 200, "GET", at+"/status", ""); v["status"] != "ERROR" {
		t.Errorf("status of a mistake %v", v)
	}
	ask(t, s, 200, "DELETE", "/v2/sessions/"+session, "")
	ask(t, s, 404, "GET", "/v2/sessions/"+session, "")
	s.Wait()
}

func TestGatewayIsBounded(t *testing.T) {
	s := newGateway(t, &fakePreviews{})
	session := ""
	for range gatewaySessionsMax {
		session = fmt.Sprint(ask(t, s, 200, "POST", "/sessions", "")["sessionHandle"])
	}
	ask(t, s, 429, "POST", "/sessions", "")
	for range gatewayOperationsMax {
		execute(t, s, session, "EXPLAIN")
	}
	ask(t, s, 429, "POST", "/v1/sessions/"+session+"/statements", `{"statement":"EXPLAIN"}`)
	s.gateway.mu.Lock()
	var ids []string
	for id := range s.gateway.mu.sessions {
		ids = append(ids, id)
	}
	s.gateway.mu.Unlock()
	for _, id := range ids {
		s.gatewayClose(id)
	}
	s.Wait()
}

func TestGatewayTypes(t *testing.T) {
	for sql, want := range map[string]string{
		"STRING": "map[length:2147483647 nullable:true type:VARCHAR]", "DECIMAL(10, 2) NOT NULL": "map[nullable:false precision:10 scale:2 type:DECIMAL]",
		"INT": "map[nullable:true type:INTEGER]", "TIMESTAMP_LTZ(3)": "map[nullable:true precision:3 type:TIMESTAMP_WITH_LOCAL_TIME_ZONE]", "ARRAY<INT>": "map[]",
		"ROW<a INT>": "map[]", "INTERVAL DAY TO SECOND": "map[]",
	} {
		if got, _ := gatewayType(sql); fmt.Sprint(got) != want {
			t.Errorf("%s is %v, want %s", sql, got, want)
		}
	}
}
