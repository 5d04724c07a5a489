package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"towpath.dev/towpath/internal/pipeline/mask"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// FuzzLoggingCommands checks that no line that a step prints makes the agent panic, sets a
// variable of the system, or shows the secret of the job. Commands that ask the server are
// left out: there is none.
func FuzzLoggingCommands(f *testing.F) {
	for _, seed := range []string{
		"##vso[task.setvariable variable=a;isSecret=true;isOutput=true]v", "##vso[task.setvariable variable=System.JobId]x", "##vso[task.setsecret]a%0Ab",
		"##vso[task.logissue type=error;linenumber=x;sourcepath=a]m", "##vso[task.complete result=Failed;]", "##vso[task.setprogress value=999999999999]x",
		"##vso[task.logdetail id=11111111-1111-1111-1111-111111111111;name=a;type=b;order=-1;progress=1e9]", "##vso[task.debug]x", "##vso[task.prependpath]/a:b",
		"##vso[task.settaskvariable variable=a]b", "##vso[telemetry.publish area=a;feature=b]{}", "##vso[x.y]", "##[group]a", "secret-of-the-job",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if c, _, ok := parseCommand(line); ok && !logging[c.name].restricted && logging[c.name].run != nil || bytes.ContainsRune(line, '\n') {
			return
		}
		dir := t.TempDir()
		job := &protocol.Job{ID: "1", LogLimit: 1 << 20}
		sp, err := newSpool(filepath.Join(dir, "spool"), nil, job)
		if err != nil {
			t.Fatal(err)
		}
		st, err := sp.step(1)
		if err != nil {
			t.Fatal(err)
		}
		defer st.file.Close()
		r := &jobRun{
			agent: &Agent{cfg: Config{Dir: dir}}, job: job, log: slog.New(slog.DiscardHandler), space: &workspace{dir: dir}, spool: sp, stop: &stopper{c: make(chan struct{})},
			masker: mask.New("secret-of-the-job"), vars: plan.Values{}, cased: map[string]bool{}, endpoints: map[string]*endpoint{},
		}
		r.vars.Set(plan.Value{Name: "System.JobId", Text: "job", ReadOnly: true})
		s := &stepRun{jobRun: r, step: &protocol.Step{Number: 1}, spool: st, ctx: t.Context(), taskVars: plan.Values{}}
		s.consume([][]byte{bytes.Clone(line)})
		if v, _ := r.vars.Get("system.jobid"); v.Text != "job" {
			t.Fatalf("%q set System.JobId to %q", line, v.Text)
		}
		log, err := os.ReadFile(st.file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(log, []byte("secret-of-the-job")) {
			t.Fatalf("%q shows a secret: %q", line, log)
		}
	})
}
