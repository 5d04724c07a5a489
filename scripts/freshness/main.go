// Command freshness measures the way of a container's line on a running installation: how
// long from its writing until KQL finds it, and what many lines a second cost.
//
// It writes files as a container runtime does into a folder of its own, lets a second
// towpath-agent tail them, and asks the server. The lines claim to come from a pod of the
// project that really runs, so that they go the whole way: place, quota, lake.
//
//	go run ./scripts/freshness --data /var/lib/towpath-demo --project shop
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type bench struct {
	server, token, project, data, agent, dir string
	rate, seconds, lines                     int
}

func main() {
	b := &bench{}
	flag.StringVar(&b.server, "server", "http://localhost:7080", "base URL of the server")
	flag.StringVar(&b.data, "data", "/var/lib/towpath-demo", "data folder of the installation")
	flag.StringVar(&b.project, "project", "shop", "a project of which a pod runs")
	flag.StringVar(&b.agent, "agent", "bin/towpath-agent", "the agent")
	flag.IntVar(&b.lines, "lines", 200, "lines whose way is timed, one every 50 ms")
	flag.IntVar(&b.rate, "rate", 10_000, "lines a second of the load")
	flag.IntVar(&b.seconds, "seconds", 20, "how long the load lasts; 0 for none")
	flag.Parse()
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "freshness:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) (err error) {
	token, err := os.ReadFile(filepath.Join(b.data, "admin-token"))
	if err != nil {
		return err
	}
	b.token = strings.TrimSpace(string(token))
	var workloads []struct {
		Namespace string
		Pods      []struct{ Name, UID string }
	}
	if err := b.call(ctx, http.MethodGet, "/monitor/workloads?project="+url.QueryEscape(b.project), nil, &workloads); err != nil {
		return err
	}
	pod := ""
	for _, w := range workloads {
		if len(w.Pods) > 0 {
			pod = w.Namespace + "_" + w.Pods[0].Name + "_" + w.Pods[0].UID
			break
		}
	}
	if pod == "" {
		return fmt.Errorf("no pod of %s runs", b.project)
	}
	if b.dir, err = os.MkdirTemp("", "freshness-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	container := filepath.Join(b.dir, "logs", pod, "bench")
	if err := os.MkdirAll(container, 0o755); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(container, "0.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	agent, stop, err := b.tail()
	if err != nil {
		return err
	}
	defer stop()
	if err := b.fresh(ctx, out); err != nil {
		return err
	}
	if b.seconds > 0 {
		return b.load(ctx, out, agent)
	}
	return nil
}

// tail starts an agent on the folder.
func (b *bench) tail() (pid int, stop func(), err error) {
	cmd := exec.Command(b.agent, "node", "--server", b.server, "--token-file", filepath.Join(b.data, "telemetry-token"), "--logs", filepath.Join(b.dir, "logs"),
		"--state", filepath.Join(b.dir, "state"), "--node", "bench")
	if err := os.MkdirAll(filepath.Join(b.dir, "state"), 0o700); err != nil {
		return 0, nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	return cmd.Process.Pid, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
		_ = cmd.Wait()
	}, nil
}

func line(now time.Time, text string) string {
	return now.UTC().Format(time.RFC3339Nano) + " stdout F " + text + "\n"
}

// fresh times single lines.
func (b *bench) fresh(ctx context.Context, out io.Writer) error {
	mark := "fresh" + strconv.FormatInt(time.Now().UnixNano(), 36)
	written := make([]time.Time, b.lines)
	begin := time.Now()
	go func() {
		for i := range b.lines {
			written[i] = time.Now()
			if _, err := io.WriteString(out, line(written[i], fmt.Sprintf("%s number=%d GET /cart 200 12ms", mark, i))); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	found := map[int]time.Duration{}
	for len(found) < b.lines && time.Since(begin) < time.Minute+time.Duration(b.lines)*50*time.Millisecond {
		rows, err := b.query(ctx, fmt.Sprintf(`ContainerLogV2 | where TimeGenerated > datetime(%s) and ContainerName == "bench" and LogMessage has "%s" | project N = extract("number=([0-9]+)", 1, tostring(LogMessage), typeof(long))`,
			begin.UTC().Format(time.RFC3339Nano), mark))
		if err != nil {
			return err
		}
		now := time.Now()
		for _, r := range rows {
			if n := int(r[0].(float64)); found[n] == 0 {
				found[n] = now.Sub(written[n])
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	var all []time.Duration
	for _, d := range found {
		all = append(all, d)
	}
	slices.Sort(all)
	if len(all) < b.lines {
		return fmt.Errorf("%d of %d lines were found", len(all), b.lines)
	}
	fmt.Printf("line written -> found by KQL: p50 %d ms, p99 %d ms, most %d ms, of %d lines\n", all[len(all)/2].Milliseconds(), all[len(all)*99/100].Milliseconds(), all[len(all)-1].Milliseconds(), len(all))
	return nil
}

// load writes many lines and says what they cost.
func (b *bench) load(ctx context.Context, out *os.File, agent int) error {
	server, lake, err := b.processes()
	if err != nil {
		return err
	}
	mark := "load" + strconv.FormatInt(time.Now().UnixNano(), 36)
	pids := map[string]int{"server": server, "lake": lake, "agent": agent}
	before := map[string]float64{}
	for name, pid := range pids {
		before[name] = cpu(pid)
	}
	begin, total := time.Now(), 0
	var buf bytes.Buffer
	size := 0
	for tick := 0; time.Since(begin) < time.Duration(b.seconds)*time.Second; tick++ {
		buf.Reset()
		now := time.Now()
		for range b.rate / 50 {
			text := fmt.Sprintf("%s number=%d method=GET path=/cart/%d status=%d took=%dms user=u%d", mark, total, total%977, []int{200, 200, 200, 404, 500}[total%5], total%250, total%4096)
			size += len(text)
			buf.WriteString(line(now, text))
			total++
		}
		if _, err := out.Write(buf.Bytes()); err != nil {
			return err
		}
		time.Sleep(time.Until(begin.Add(time.Duration(tick+1) * 20 * time.Millisecond)))
	}
	wrote := time.Since(begin)
	count := 0
	for time.Since(begin) < wrote+2*time.Minute && count < total {
		rows, err := b.query(ctx, fmt.Sprintf(`ContainerLogV2 | where TimeGenerated >= datetime(%s) and ContainerName == "bench" and LogMessage has "%s" | count`, begin.Add(-time.Second).UTC().Format(time.RFC3339Nano), mark))
		if err != nil {
			return err
		}
		count = int(rows[0][0].(float64))
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(begin)
	fmt.Printf("load: %d lines (%.1f MB) written in %.1f s (%.0f a second), all found after %.1f s, %d lost\n", total, float64(size)/1e6, wrote.Seconds(), float64(total)/wrote.Seconds(), took.Seconds(), total-count)
	for _, name := range []string{"agent", "server", "lake"} {
		used := cpu(pids[name]) - before[name]
		fmt.Printf("  %-7s %.2f cores, %.1f µs a line, %d MiB resident\n", name, used/took.Seconds(), used*1e6/float64(total), resident(pids[name])>>20)
	}
	return nil
}

// processes finds the server and its lake.
func (b *bench) processes() (server, lake int, err error) {
	raw, err := os.ReadFile(filepath.Join(b.data, "run", "towpath.pid"))
	if err != nil {
		return 0, 0, err
	}
	if server, err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil {
		return 0, 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, err
	}
	for _, p := range all {
		text, err := os.ReadFile(p)
		if err != nil {
			continue // It ended meanwhile.
		}
		f := strings.Fields(string(text))
		if len(f) > 3 && f[1] == "(towpath-lake)" && f[3] == strconv.Itoa(server) {
			lake, err = strconv.Atoi(f[0])
			return server, lake, err
		}
	}
	return 0, 0, errors.New("the server has no lake")
}

// cpu is the processor time of a process in seconds.
func cpu(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}

// resident is the resident memory of a process in bytes.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func (b *bench) query(ctx context.Context, text string) ([][]any, error) {
	var a struct{ Rows [][]any }
	err := b.call(ctx, http.MethodPost, "/monitor/query?project="+url.QueryEscape(b.project), map[string]string{"query": text}, &a)
	return a.Rows, err
}

func (b *bench) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.server+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	return json.Unmarshal(raw, out)
}
