package browser_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/web/browser"
)

// pipelineFile prints a line with a mark, publishes a test that fails and an artifact.
const pipelineFile = `trigger:
- main
steps:
- script: |
    echo "the first line <b>is plain</b>"
    printf '\033[32mgreen\033[0m\n'
  displayName: Say something
- script: |
    mkdir -p out
    echo '<testsuite name="shop" tests="2" failures="1"><testcase classname="cart" name="adds"/><testcase classname="cart" name="rounds"><failure message="want 130">got 129</failure></testcase></testsuite>' > out/TEST-shop.xml
  displayName: Test
- task: PublishTestResults@2
  inputs:
    testResultsFormat: JUnit
    testResultsFiles: '**/TEST-*.xml'
`

// serve starts the built server without a cluster and returns its address and data folder.
func serve(ctx context.Context, t *testing.T) (url, data string) {
	t.Helper()
	bin := os.Getenv("TOWPATH_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "..", "bin")
	}
	bin, err := filepath.Abs(bin)
	must(t, err)
	if _, err := os.Stat(filepath.Join(bin, "towpath")); err != nil {
		t.Fatalf("This test looks at the built server, and there is no towpath in %s. Build it with `make build`, or name its folder in TOWPATH_BIN.", bin)
	}
	// Jobs run as another user, who must be able to enter the folder.
	data, err = os.MkdirTemp("", "towpath-web-")
	must(t, err)
	must(t, os.Chmod(data, 0o755))
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "towpath"), "serve", "--data", data, "--listen", "127.0.0.1:0", "--ssh-listen", "", "--otlp-http-listen", "", "--otlp-grpc-listen", "", "--cluster", "none", "--log-level", "warn")
	cmd.Env = []string{"HOME=" + data, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // It ends by the signal.
		if err := os.RemoveAll(data); err != nil {
			t.Log(err)
		}
	})
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if rest, ok := strings.CutPrefix(sc.Text(), "ready "); ok {
			return strings.TrimSpace(rest), data
		}
	}
	t.Fatal("the server ended before it was ready")
	return "", ""
}

func secret(t *testing.T, data, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(data, name))
	must(t, err)
	return strings.TrimSpace(string(b))
}

// push makes a repository with pipelineFile and pushes it.
func push(ctx context.Context, t *testing.T, url, data string) {
	t.Helper()
	pushFile(ctx, t, url, data, pipelineFile)
}

// pushFile makes a repository with a pipeline file and pushes it.
func pushFile(ctx context.Context, t *testing.T, url, data, yaml string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "azure-pipelines.yml"), []byte(yaml), 0o600))
	scheme, host, _ := strings.Cut(url, "://")
	remote := scheme + "://admin:" + secret(t, data, "admin-token") + "@" + host + "/shop/shop.git"
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"}, {"add", "."}, {"-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m", "Begin the shop"},
		{"push", "--quiet", remote, "main"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}

// begin signs in as admin and makes the project shop, by the forms.
func begin(ctx context.Context, t *testing.T, p *browser.Page, url, data string) {
	t.Helper()
	must(t, p.Go(ctx, url+"/projects"))
	must(t, p.Until(ctx, `location.pathname === "/login"`))
	for field, text := range map[string]string{"user": "admin", "password": secret(t, data, "admin-password")} {
		must(t, p.Eval(ctx, `document.querySelector("[name=`+field+`]").focus()`, nil))
		must(t, p.Type(ctx, text))
	}
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `location.pathname === "/projects" && document.body.textContent.includes("Make the first project")`))
	must(t, p.Eval(ctx, `document.querySelector("[name=name]").focus()`, nil))
	must(t, p.Type(ctx, "shop"))
	must(t, p.Press(ctx, "Enter", false))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop" && document.querySelector("[data-live-mark]")?.dataset.on === "true"`))
}

// TestTheRealServer pushes to the built server and watches the change travel in the
// browser, without loading the page again.
func TestTheRealServer(t *testing.T) {
	ctx := limited(t)
	program, err := browser.Find()
	must(t, err)
	url, data := serve(ctx, t)
	b, err := browser.Start(program)
	must(t, err)
	t.Cleanup(func() { must(t, b.Stop()) })
	p, err := b.Open(ctx, 1440, 900)
	must(t, err)

	begin(ctx, t, p, url, data)
	must(t, p.Until(ctx, `document.body.textContent.includes("Push a commit, and watch it travel.")`))

	push(ctx, t, url, data)
	must(t, p.Until(ctx, `document.querySelector("tr.change-row b")?.textContent === "Begin the shop"`))
	must(t, p.Until(ctx, `document.querySelector("a.lock.shut")?.textContent.includes("1 of 2")`))
	must(t, p.Eval(ctx, `document.querySelector("a.lock.shut").click()`, nil))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/runs/1" && document.body.textContent.includes("want 130")`))

	must(t, p.Go(ctx, url+"/projects/shop/runs/1"))
	must(t, p.Until(ctx, `document.querySelector("#runhead .state.open, #runhead .state.held")`))
	must(t, p.Eval(ctx, `[...document.querySelectorAll(".steps a")].find((a) => a.textContent.includes("Say something")).click()`, nil))
	must(t, p.Until(ctx, `[...document.querySelectorAll(".log .a-g")].some((e) => e.textContent === "green") && document.querySelector(".log").textContent.includes("<b>is plain</b>")`))

	must(t, p.Eval(ctx, `[...document.querySelectorAll("a.btn")].find((a) => a.textContent === "Evidence").click()`, nil))
	must(t, p.Until(ctx, `location.pathname === "/projects/shop/trace/run/1" && document.querySelectorAll(".chain li").length === 3`))
	must(t, p.Go(ctx, url+"/projects/shop/code/shop/blob/main/azure-pipelines.yml"))
	must(t, p.Until(ctx, `document.querySelector("#L1")?.textContent.includes("trigger")`))
	must(t, p.Go(ctx, url+"/status"))
	must(t, p.Until(ctx, `document.body.textContent.includes("the server was started with --cluster none")`))
	if got := p.Problems(); len(got) > 0 {
		t.Errorf("on the way: %v", got)
	}
}
