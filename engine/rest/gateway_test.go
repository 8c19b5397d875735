package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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
			st.Does, st.Columns, st.Rows = StatementAnswer, []PreviewColumn{{"result", "STRING"}, {"true", "BOOLEAN"}}, [][]any{{"plan <1>", true}, {nil, nil}}
		case "SET":
			st.Does, st.Key, st.Value = StatementSet, "table.local-time-zone", "Asia/Tokyo"
		case "SETTINGS":
			st.Does = StatementSettings
		case "RESET":
			st.Does = StatementReset
		case "USE":
			st.Does = StatementNothing
		case "JOBS":
			st.Does = StatementShowJobs
		case "STOP":
			st.Does, st.Job = StatementStopJob, "no"
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
	if v := ask(t, s, 200, "GET", "/api_versions", ""); fmt.Sprint(v["versions"]) != "[V1 V2 V3 V4]" {
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
	ask(t, s, 400, "GET", at+"/result/1?rowFormat=XML", "")
	if v := ask(t, s, 200, "GET", at+"/result/0?rowFormat=PLAIN_TEXT", ""); !strings.Contains(fmt.Sprint(v["results"]), "[1 2020-01-01 00:00:00.000]") {
		t.Errorf("as text %v", v)
	}
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

// TestGatewayIsDescribed: the OpenAPI document lists the paths.
func TestGatewayIsDescribed(t *testing.T) {
	s, _ := newFake(t, Access{})
	text := call(t, s, "GET", "/api/v1/openapi.yaml", "").Body.String()
	for _, p := range s.gateway.patterns {
		if !strings.Contains(text, "`"+strings.TrimSuffix(p, "/")+"`") {
			t.Errorf("%s is not in the OpenAPI document", p)
		}
	}
	if len(s.gateway.patterns) < 12 {
		t.Errorf("only %d patterns", len(s.gateway.patterns))
	}
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

// TestGatewayStatements: statements that are no queries, with their results in both forms.
func TestGatewayStatements(t *testing.T) {
	s := newGateway(t, &fakePreviews{})
	session := fmt.Sprint(ask(t, s, 200, "POST", "/v4/sessions", `{"properties":{"a.b":"c","x.password":"hunter2"}}`)["sessionHandle"])
	result := func(statement, format string) string {
		v := ask(t, s, 200, "GET", execute(t, s, session, statement)+"/result/0?rowFormat="+format, "")
		results, _ := v["results"].(map[string]any)
		if results["rowFormat"] != format {
			t.Errorf("%s: %v", statement, results["rowFormat"])
		}
		return fmt.Sprint(v["resultKind"], results["data"])
	}
	for _, c := range []struct{ statement, format, want string }{
		{"EXPLAIN", "JSON", "SUCCESS_WITH_CONTENT[map[fields:[plan <1> true] kind:INSERT] map[fields:[<nil> <nil>] kind:INSERT]]"},
		{"EXPLAIN", "PLAIN_TEXT", "SUCCESS_WITH_CONTENT[map[fields:[plan <1> TRUE] kind:INSERT] map[fields:[<nil> <nil>] kind:INSERT]]"},
		{"USE", "JSON", "SUCCESS[map[fields:[OK] kind:INSERT]]"},
		{"SET", "JSON", "SUCCESS[map[fields:[OK] kind:INSERT]]"},
		{"SETTINGS", "JSON", "SUCCESS_WITH_CONTENT[map[fields:[a.b c] kind:INSERT] map[fields:[table.local-time-zone Asia/Tokyo] kind:INSERT] map[fields:[x.password ******] kind:INSERT]]"},
		// In the session's time zone.
		{
			"JOBS", "PLAIN_TEXT", "SUCCESS_WITH_CONTENT[map[fields:[" + jobID + " sensors RUNNING 1970-01-01 09:00:01.800] kind:INSERT] map[fields:[" + doneID +
				" broken FAILED 1970-01-01 09:00:01.100] kind:INSERT]]",
		},
		{"RESET", "JSON", "SUCCESS[map[fields:[OK] kind:INSERT]]"},
		{"JOBS", "JSON", "SUCCESS_WITH_CONTENT[map[fields:[" + jobID + " sensors RUNNING 1970-01-01T00:00:01.800Z] kind:INSERT] map[fields:[" + doneID +
			" broken FAILED 1970-01-01T00:00:01.100Z] kind:INSERT]]"},
	} {
		if got := result(c.statement, c.format); got != c.want {
			t.Errorf("%s as %s:\ngot  %s\nwant %s", c.statement, c.format, got, c.want)
		}
	}
	if v := ask(t, s, 200, "GET", "/v4/sessions/"+session, ""); fmt.Sprint(v["properties"]) != "map[a.b:c x.password:******]" {
		t.Errorf("properties %v", v)
	}
	ask(t, s, 500, "GET", execute(t, s, session, "STOP")+"/result/0", "")
	ask(t, s, 200, "POST", "/v4/sessions/"+session+"/configure-session", `{"statement":"USE x"}`)
	ask(t, s, 404, "POST", "/v4/sessions/"+session+"/scripts", `{}`)
	s.cfg.Language.Complete = func(script string, line, column int) Completion {
		return Completion{Items: []CompletionItem{{Insert: fmt.Sprintf("%s@%d:%d ", script, line, column)}}}
	}
	ask(t, s, 200, "POST", "/v4/sessions/"+session+"/configure-session", `{"statement":"CREATE a"}`)
	v := ask(t, s, 200, "GET", "/v4/sessions/"+session+"/complete-statement", `{"statement":"SELECT 😀é FRO","position":11}`)
	if want := "[SET x\n;\nRESET\n;\nCREATE a\n;\nSELECT 😀é FRO@7:11]"; strings.Replace(fmt.Sprint(v["candidates"]), "SET\n", "SET x\n", 1) != want {
		t.Errorf("candidates %q, want %q", v["candidates"], want)
	}
	s.gatewayClose(session)
	s.Wait()
}

func TestGatewayTypes(t *testing.T) {
	for sql, want := range map[string]string{
		"STRING": "map[length:2147483647 nullable:true type:VARCHAR]", "DECIMAL(10, 2) NOT NULL": "map[nullable:false precision:10 scale:2 type:DECIMAL]",
		"INT": "map[nullable:true type:INTEGER]", "TIMESTAMP_LTZ(3)": "map[nullable:true precision:3 type:TIMESTAMP_WITH_LOCAL_TIME_ZONE]",
		"ARRAY<INT NOT NULL> NOT NULL": "map[elementType:map[nullable:false type:INTEGER] nullable:false type:ARRAY]",
		"ROW<`a, b` INT, `c` MAP<STRING NOT NULL, DECIMAL(3, 1)>>": "map[fields:[map[fieldType:map[nullable:true type:INTEGER] name:a, b] map[fieldType:map[keyType:map[length:2147483647 nullable:false type:VARCHAR] " +
			"nullable:true type:MAP valueType:map[nullable:true precision:3 scale:1 type:DECIMAL]] name:c]] nullable:true type:ROW]",
		"INTERVAL DAY TO SECOND":          "map[fractionalPrecision:3 nullable:true precision:2 resolution:SECOND type:INTERVAL_DAY_TIME]",
		"INTERVAL YEAR TO MONTH NOT NULL": "map[nullable:false precision:2 resolution:MONTH type:INTERVAL_YEAR_MONTH]",
		"ROW<":                            "", "ARRAY": "", "ARRAY<>": "", "MAP<INT>": "", "INT x": "", "DECIMAL(a)": "", "": "", "ROW<a INT>": "", "ARRAY<INT": "", strings.Repeat("ARRAY<", 200): "",
	} {
		got := ""
		if d, err := gatewayTypeOf(sql); err == nil {
			got = fmt.Sprint(d.document())
		}
		if got != want {
			t.Errorf("%s is %v, want %s", sql, got, want)
		}
	}
}

// TestGatewayValues: the texts are those of Flink 2.2.0's gateway.
func TestGatewayValues(t *testing.T) {
	for _, c := range []struct{ sql, raw, json, plain string }{
		{"BOOLEAN", `true`, `true`, `"TRUE"`},
		{"BIGINT", `9007199254740993`, `9007199254740993`, `"9007199254740993"`},
		{"DECIMAL(10, 2)", `12.30`, `12.30`, `"12.30"`},
		{"DOUBLE", `1e+20`, `1e+20`, `"1.0E20"`},
		{"DOUBLE", `1e-07`, `1e-07`, `"1.0E-7"`},
		{"DOUBLE", `0.1`, `0.1`, `"0.1"`},
		{"DOUBLE", `3`, `3`, `"3.0"`},
		{"DOUBLE", `"NaN"`, `"NaN"`, `"NaN"`},
		{"FLOAT", `1e7`, `1e7`, `"1.0E7"`},
		{"STRING", `"x\"y<\u0001"`, `"x\"y<\u0001"`, `"x\"y<\u0001"`},
		{"STRING", `null`, `null`, `null`},
		{"BYTES", `"AQL/"`, `"AQL/"`, `"x'0102ff'"`},
		{"DATE", `"2020-01-02"`, `"2020-01-02"`, `"2020-01-02"`},
		{"TIMESTAMP(3)", `"2020-01-02 03:04:05.678"`, `"2020-01-02T03:04:05.678"`, `"2020-01-02 03:04:05.678"`},
		{"TIMESTAMP_LTZ(3)", `"1970-01-01 00:00:00.000Z"`, `"1970-01-01T09:00:00.000Z"`, `"1970-01-01 09:00:00.000"`},
		{"TIMESTAMP_LTZ(0)", `"1970-01-01 00:00:00Z"`, `"1970-01-01T09:00:00Z"`, `"1970-01-01 09:00:00"`},
		{"INTERVAL YEAR TO MONTH", `14`, `14`, `"+1-02"`},
		{"INTERVAL YEAR TO MONTH", `-3`, `-3`, `"-0-03"`},
		{"INTERVAL DAY TO SECOND", `93784005`, `93784005`, `"+1 02:03:04.005"`},
		{"INTERVAL DAY TO SECOND", `-9223372036854775808`, `-9223372036854775808`, `"-106751991167 07:12:55.808"`},
		{"ARRAY<INT>", `[1,null,3]`, `[1,null,3]`, `"[1, NULL, 3]"`},
		{"ARRAY<ARRAY<INT>>", `[[1],[]]`, `[[1],[]]`, `"[[1], []]"`},
		{"MAP<STRING, INT>", `{"k":1,"l":null}`, `{"k":1,"l":null}`, `"{k=1, l=NULL}"`},
		{"MAP<INT, BYTES>", `{"1":"AQ=="}`, `{"1":"AQ=="}`, `"{1=x'01'}"`},
		{"ROW<`p` INT, `q` ROW<`r` STRING, `s` DOUBLE>>", `{"p":1,"q":{"r":"y","s":1.5}}`, `{"p":1,"q":{"r":"y","s":1.5}}`, `"(1, (y, 1.5))"`},
		{"ARRAY<TIMESTAMP(0)>", `["2020-01-02 03:04:05",null]`, `["2020-01-02T03:04:05",null]`, `"[2020-01-02 03:04:05, NULL]"`},
		{"ROW<`a` TIMESTAMP_LTZ(3), `b` MAP<STRING, BOOLEAN>>", `{"a":"1970-01-01 00:00:01.000Z","b":{"\"":true}}`, `{"a":"1970-01-01T09:00:01.000Z","b":{"\"":true}}`, `"(1970-01-01 09:00:01.000, {\"=TRUE})"`},
		{"ARRAY<INTERVAL DAY TO SECOND>", `[86400000]`, `[86400000]`, `"[+1 00:00:00.000]"`},
		{"ARRAY<TIMESTAMP(0)>", `{"a":1}`, "", ""},
		{"ROW<`a` TIMESTAMP(0)>", `{"a":`, "", ""},
		{"ROW<`a` TIMESTAMP(0)>", `{"a":"x","b":"y"}`, "", ""},
	} {
		typ, err := gatewayTypeOf(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		tokyo := time.FixedZone("", 9*3600)
		for _, plain := range []bool{false, true} {
			got, err := typ.value(json.RawMessage(c.raw), plain, tokyo)
			want := map[bool]string{false: c.json, true: c.plain}[plain]
			if string(got) != want || (err == nil) == (want == "") {
				t.Errorf("%s %s plain %t: got %s, %v, want %s", c.sql, c.raw, plain, got, err, want)
			}
		}
	}
}
