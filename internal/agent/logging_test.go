package agent_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// extras are what a job brings to the server beside logs and results.
type extras struct {
	attached map[string]string // content by "type/name"
	changes  []protocol.RunChange
	tests    []protocol.TestsHeader
	coverage int
	artifact []string
	task     []byte // the files of an added task
	// served answers the tasks of the server, by their inputs.
	served func(inputs map[string]string) []protocol.TaskReply
}

// serveExtras answers what the plain server does not know.
func (s *server) serveExtras(w http.ResponseWriter, r *http.Request, path string) bool {
	body := func() []byte { b, _ := io.ReadAll(r.Body); return b }
	if s.extras.attached == nil {
		s.extras.attached = map[string]string{}
	}
	switch {
	case strings.HasSuffix(path, "/attachments"):
		var h protocol.AttachmentHeader
		_ = json.Unmarshal([]byte(r.Header.Get(protocol.HeaderAttachment)), &h)
		s.extras.attached[h.Type+"/"+h.Name] = string(body())
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(path, "/run"):
		var c protocol.RunChange
		_ = json.Unmarshal(body(), &c)
		s.extras.changes = append(s.extras.changes, c)
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(path, "/tests"):
		var h protocol.TestsHeader
		_ = json.Unmarshal([]byte(r.Header.Get(protocol.HeaderTests)), &h)
		body()
		s.extras.tests = append(s.extras.tests, h)
		_ = json.NewEncoder(w).Encode(protocol.TestsReply{Runs: 1, Total: 2, Passed: 1, Failed: 1})
	case strings.HasSuffix(path, "/coverage"):
		body()
		s.extras.coverage++
		_ = json.NewEncoder(w).Encode(protocol.CoverageReply{Lines: 8, LinesCovered: 4})
	case strings.Contains(path, "/artifacts/"):
		body()
		name := path[strings.LastIndexByte(path, '/')+1:]
		s.extras.artifact = append(s.extras.artifact, name)
		_ = json.NewEncoder(w).Encode(protocol.Artifact{Name: name, Files: 1})
	case strings.Contains(path, "/tasks/") && s.extras.served != nil:
		head, _, _ := bytes.Cut(body(), []byte("\n"))
		var in protocol.TaskRequest
		_ = json.Unmarshal(head, &in)
		for _, reply := range append(s.extras.served(in.Inputs), protocol.TaskReply{Done: true}) {
			_ = json.NewEncoder(w).Encode(reply)
		}
	case strings.Contains(path, "/added/"):
		_, _ = w.Write(s.extras.task)
	default:
		return false
	}
	return true
}

// TestLoggingCommands runs each command in a real step and looks at what it changed.
func TestLoggingCommands(t *testing.T) {
	const failed, issues = plan.Failed, plan.SucceededWithIssues
	for _, c := range []struct {
		name     string
		scripts  []string // one step each; V(…) is a command
		result   plan.Result
		says     string // in the log of the last step; several with "|"
		silent   string // not in any log
		restrict bool   // target.commands: restricted, in all but the last step
		look     func(s *server) bool
	}{
		{name: "L001 a variable is there in the next step", scripts: []string{"V(task.setvariable variable=My.Var)v%3B1", `echo "$(My.Var) $MY_VAR"`}, says: "v;1 v;1"},
		{name: "L001 names and properties in any case", scripts: []string{"V(Task.SetVariable VARIABLE=a;IsOutput=TRUE)x", `echo "[$(Bash.a)]"`}, says: "[x]"},
		{name: "L001 a read-only variable stays", scripts: []string{"V(task.setvariable variable=a;isreadonly=true)1", "V(task.setvariable variable=a)2", "echo [$(a)]"}, says: "[1]"},
		{name: "L001 the case of the name", scripts: []string{"V(task.setvariable variable=my.Var;preservecase=true)x", `echo "[$my_Var$MY_VAR]"`}, says: "[x]"},
		{name: "L001 without a name", scripts: []string{"V(task.setvariable )x"}, result: failed, says: "needs the property variable"},
		{name: "L002 a secret is hidden from then on", scripts: []string{"V(task.setsecret)sesame", "echo a sesame b"}, says: "a *** b", silent: "sesame"},
		{name: "L003 an error with its place", scripts: []string{"V(task.logissue type=error;sourcepath=a/b.go;linenumber=3;columnnumber=7;code=E1)boom"}, says: "##[error]a/b.go:3:7: boom [E1]"},
		{name: "L003 a warning", scripts: []string{"V(task.logissue type=warning)careful"}, says: "##[warning]careful"},
		{name: "L003 another type", scripts: []string{"V(task.logissue type=note)x"}, result: failed, says: "error or warning"},
		{name: "L004 complete never improves a result", scripts: []string{"V(task.complete result=SucceededWithIssues)x; V(task.complete result=Succeeded)y"}, result: issues},
		{name: "L004 a failed step", scripts: []string{"V(task.complete result=failed;done=true)no luck"}, result: failed, says: "no luck"},
		{name: "L004 no result", scripts: []string{"V(task.complete )x"}, result: failed, says: "the result is"},
		{name: "L005 progress", scripts: []string{"V(task.setprogress value=75)Upload"}, look: func(s *server) bool {
			return s.steps[1].Progress == 75 && s.steps[1].Operation == "Upload"
		}},
		{name: "L005 no progress", scripts: []string{"V(task.setprogress value=175)x"}, result: failed, says: "from 0 to 100"},
		{name: "L006 a record and its change", scripts: []string{
			"V(task.logdetail id=A;name=part;type=build;order=1;starttime=2026-01-02T03:04:05Z)begin; V(task.logdetail id=a;progress=50;state=Completed;result=Succeeded)end"},
			look: func(s *server) bool {
				d := s.steps[1].Details
				return len(d) == 1 && d[0].Name == "part" && d[0].Progress == 50 && d[0].State == "Completed" && d[0].Message == "end" && d[0].Started.Year() == 2026
			}},
		{name: "L006 a new record without a name", scripts: []string{"V(task.logdetail id=A)x"}, result: failed, says: "name and type"},
		{name: "L007 debug is silent", scripts: []string{"V(task.debug)chatter"}, silent: "chatter"},
		{name: "L008 a task variable is the task's own", scripts: []string{"V(task.settaskvariable variable=tv;issecret=true)hidden1", `echo "[$tv$TV" '$(tv)]' hidden1`}, says: "[ $(tv)] ***", silent: "hidden1"},
		{name: "L008 a read-only task variable", scripts: []string{"V(task.settaskvariable variable=tv;isreadonly=true)a; V(task.settaskvariable variable=TV)b"}, says: "TV is read-only"},
		{name: "L009 the newest folder is first", scripts: []string{"V(task.prependpath)/first; V(task.prependpath)/second", "echo $PATH"}, says: " /second:/first:"},
		{name: "L009 no folder", scripts: []string{"V(task.prependpath)"}, result: failed, says: "name one folder"},
		{name: "L010 an endpoint for the next step", scripts: []string{"V(task.setendpoint id=E1;field=url)https://x.example.com; V(task.setendpoint id=E1;field=dataParameter;key=k)v; V(task.setendpoint id=E1;field=authParameter;key=AccessToken)abcabc",
			`env | grep ENDPOINT_ | sort | tr '\n' '|'; echo abcabc`}, says: "ENDPOINT_DATA_e1_K=v|ENDPOINT_URL_e1=https://x.example.com|***", silent: "abcabc"},
		{name: "L010 an unknown field", scripts: []string{"V(task.setendpoint id=E1;field=x)v"}, result: failed, says: "url, authParameter or dataParameter"},
		{name: "L011 an attachment", scripts: []string{"echo c > f.txt; V(task.addattachment type=T;name=N)$PWD/f.txt"}, look: func(s *server) bool { return s.extras.attached["T/N"] == "c\n" }},
		{name: "L011 outside of the workspace", scripts: []string{"V(task.addattachment type=T;name=N)/etc/passwd"}, result: failed, says: "outside the workspace"},
		{name: "L012 a file, without its secrets", scripts: []string{"V(task.setsecret)sesame; echo a sesame > f.txt; V(task.uploadfile)f.txt"},
			look: func(s *server) bool { return s.extras.attached[protocol.AttachmentFile+"/f.txt"] == "a ***\n" }},
		{name: "L013 a summary", scripts: []string{"echo '# Hi' > sum.md; V(task.uploadsummary)sum.md"}, look: func(s *server) bool { return s.extras.attached[protocol.AttachmentSummary+"/sum"] == "# Hi\n" }},
		{name: "L014 a log and a summary of the build", scripts: []string{"echo l > x.log; V(build.uploadlog)x.log; V(build.uploadsummary)x.log"}, look: func(s *server) bool {
			return s.extras.attached[protocol.AttachmentLog+"/x.log"] == "l\n" && s.extras.attached[protocol.AttachmentSummary+"/x"] == "l\n"
		}},
		{name: "L014 a log that is not there", scripts: []string{"V(build.uploadlog)x.log"}, result: failed, says: "reading x.log"},
		{name: "L015 another name of the run", scripts: []string{"V(build.updatebuildnumber)1.2.3", "echo [$(Build.BuildNumber)]"}, says: "[1.2.3]",
			look: func(s *server) bool { return len(s.extras.changes) == 1 && s.extras.changes[0].Name == "1.2.3" }},
		{name: "L015 a name that cannot be", scripts: []string{"V(build.updatebuildnumber)a/b"}, result: failed, says: "cannot be the name"},
		{name: "L016 a tag", scripts: []string{"V(build.addbuildtag)blue"}, look: func(s *server) bool { return slices.Equal(s.extras.changes[0].Tags, []string{"blue"}) }},
		{name: "L017 an artifact", scripts: []string{"echo a > a.txt; V(artifact.upload artifactname=drop;containerfolder=x)a.txt"}, look: func(s *server) bool { return slices.Equal(s.extras.artifact, []string{"drop"}) }},
		{name: "L017 without a name", scripts: []string{"V(artifact.upload )a.txt"}, result: failed, says: "artifactname"},
		{name: "L018 an artifact elsewhere", scripts: []string{"V(artifact.associate artifactname=n;artifacttype=FilePath)//share/x"}, look: func(s *server) bool { return s.extras.attached["artifact.filepath/n"] == "//share/x" }},
		{name: "L018 of an unknown type", scripts: []string{"V(artifact.associate artifactname=n;artifacttype=x)y"}, result: failed, says: "artifacttype is one of"},
		{name: "L019 test results", scripts: []string{"echo '<testsuite/>' > r.xml; V(results.publish type=NUnit;resultFiles=r.xml;runTitle=T;mergeResults=true)"},
			look: func(s *server) bool {
				return slices.Equal(s.extras.tests, []protocol.TestsHeader{{Title: "T", Format: "NUnit", Merge: true}})
			}},
		{name: "L019 failed tests", scripts: []string{"echo x > r.xml; V(results.publish type=JUnit;resultFiles=r.xml;failTaskOnFailedTests=true)"}, result: failed, says: "1 of 2 tests failed"},
		{name: "L020 to the evidence", scripts: []string{"V(results.publishtoevidencestore testrunner=JUnit)"}, says: "evidence already"},
		{name: "L021 coverage", scripts: []string{"mkdir r; echo x > c.xml; echo y > r/index.html; V(codecoverage.publish codecoveragetool=cobertura;summaryfile=c.xml;reportdirectory=r)"},
			says: "4 of 8 lines (50.0 %)", look: func(s *server) bool { return s.extras.coverage == 1 && len(s.extras.artifact) == 1 }},
		{name: "L022 no release", scripts: []string{"V(release.updatereleasename)x"}, says: "##[warning]release.updatereleasename has no effect"},
		{name: "L023 telemetry", scripts: []string{"V(telemetry.publish area=a;feature=f){}"}, silent: "##["},
		{name: "L023 without its area", scripts: []string{"V(telemetry.publish feature=f){}"}, result: failed, says: "property area"},
		{name: "L024 where the sources are", scripts: []string{"V(plugininternal.updaterepositorypath alias=self)$(Pipeline.Workspace)/s/web", "echo $(Build.SourcesDirectory)"}, says: "/s/web"},
		{name: "L024 outside", scripts: []string{"V(plugininternal.updaterepositorypath alias=self)/etc"}, result: failed, says: "outside the workspace"},
		{name: "L025 formatting passes as it is", scripts: []string{"for f in group endgroup section command debug warning error; do echo \"##[$f]x\"; done"},
			says: "##[group]x|##[endgroup]x|##[section]x|##[command]x|##[debug]x|##[warning]x|##[error]x"},
		{name: "an unknown command", scripts: []string{"V(task.fly )x"}, says: "##[warning]The command ##vso [task.fly] is not known"},
		{name: "a command that does not parse", scripts: []string{"echo '##vso[task'"}, says: "##[warning]Not understood"},

		{name: "L030 a secret of several lines", scripts: []string{"V(task.setvariable variable=a;issecret=true)line one%0Aline two", "echo line two [$(a)]"}, result: failed, says: ""},
		{name: "L030 allowed", scripts: []string{"V(task.setvariable variable=SYSTEM_UNSAFEALLOWMULTILINESECRET)true", "V(task.setvariable variable=a;issecret=true)line one%0Aline two", "echo line two"}, says: "***"},
		{name: "L031 a variable of the system", scripts: []string{"V(task.setvariable variable=agent.JobStatus)x; V(task.setvariable variable=Build.Repository.Tfvc.Workspace)x", "echo '[$(Build.Repository.Tfvc.Workspace)]' $(Agent.JobStatus)"}, says: "[$(Build.Repository.Tfvc.Workspace)] Succeeded"},
		{name: "L032 secrets are not in the environment", scripts: []string{"V(task.setvariable variable=pw;issecret=true)sesame1", `echo "[$PW] ${#PW}"; x='$(pw)'; echo ${#x}`}, says: "[] 0|7"},
		{name: "L034 a secret stays one", scripts: []string{"V(task.setvariable variable=pw;issecret=true)sesame1", "V(task.setvariable variable=pw)sesame2", "echo sesame1 sesame2"}, says: "*** ***", silent: "sesame2"},
		{name: "L035 the server's own endpoint", scripts: []string{"V(task.setendpoint id=systemVssConnection;field=url)https://x.example.com"}, result: failed, says: "cannot be changed"},

		{name: "V008 L001 restricted commands", restrict: true, scripts: []string{"V(task.setvariable variable=a)1; V(task.prependpath)/p; V(build.addbuildtag)t; V(task.uploadfile)f; V(artifact.upload artifactname=a)f; V(task.setendpoint id=a;field=url)u://", "echo [$(a)]"},
			says: "[1]", look: func(s *server) bool {
				return len(s.extras.changes) == 0 && len(s.extras.attached) == 0 && strings.Count(s.log["1"], "is not allowed in this step") == 4
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{}
			var scripts []string
			for _, script := range c.scripts {
				scripts = append(scripts, commands(script))
			}
			if c.result == "" {
				c.result = plan.Succeeded
			}
			got := run(t, s, func(j *protocol.Job) {
				for i := range len(scripts) - 1 {
					if c.restrict {
						j.Phases[0].Steps[i].Target = &plan.Target{RestrictedCommands: true}
					}
				}
			}, scripts...)
			last := s.log[string(rune('0'+len(scripts)))]
			all := s.log["1"] + s.log["2"] + s.log["3"]
			if got.Result != c.result {
				t.Errorf("the job ended %s\n%s", got.Result, all)
			}
			at := 0
			for _, want := range strings.Split(c.says, "|") {
				i := strings.Index(last[at:], want)
				if i < 0 {
					t.Fatalf("the log does not say %q\n%s", want, all)
				}
				at += i
			}
			if c.silent != "" && strings.Contains(all, c.silent) {
				t.Errorf("the log says %q\n%s", c.silent, all)
			}
			if c.look != nil && !c.look(s) {
				t.Errorf("%+v\n%+v\n%s", s.extras, s.steps, all)
			}
		})
	}
}

// commands writes "V(head)data" as the shell command that prints the logging command; the
// data ends with "; " or the line.
func commands(script string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(script, "V(")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		head, rest, _ := strings.Cut(rest, ")")
		data, after, more := strings.Cut(rest, "; ")
		b.WriteString(`printf '%s\n' "##vso[` + head + `]` + data + `"`)
		if script = after; more {
			b.WriteString("; ")
		}
	}
}
