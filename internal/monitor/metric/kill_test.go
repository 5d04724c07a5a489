package metric_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/metric"
)

// writerFolder makes the test's own program a writer into that folder instead.
const writerFolder = "TOWPATH_TEST_METRIC_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerFolder); dir != "" {
		if err := writer(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// writer pushes batches for ever and prints the number of each that was acknowledged.
func writer(dir string) error {
	s, err := metric.Open(dir, metric.Options{OutOfOrder: 24 * time.Hour}, clock.System(), nil)
	if err != nil {
		return err
	}
	start := time.Now()
	for i := 0; ; i++ {
		var batch []metric.Sample
		for k := range 20 {
			batch = append(batch, sample("m", start.Add(time.Duration(i)*time.Millisecond), float64(i), "k", strconv.Itoa(k), "run", strconv.FormatInt(start.UnixNano(), 10)))
		}
		o, err := s.Append(context.Background(), metric.Origin{Project: "shop"}, batch)
		if err != nil || o.Refused > 0 {
			return fmt.Errorf("%w %v", err, o)
		}
		fmt.Println(start.UnixNano(), i)
	}
}

func TestAcknowledgedIsStoredThroughKills(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{} // the last number of each run
	for round := range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writerFolder+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		// Killed at another moment of its work each time.
		for n := 0; n < 5+7*round && lines.Scan(); n++ {
			note(t, acked, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it died
			note(t, acked, lines.Text())
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer ended by itself")
		}
	}
	s, err := metric.Open(dir, metric.Options{OutOfOrder: 24 * time.Hour}, clock.System(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored := map[string]map[int]int{} // run, number, series
	err = s.Samples(context.Background(), metric.Scope{Project: "shop"}, "m", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), func(x metric.Raw) error {
		run := x.Labels["run"]
		if stored[run] == nil {
			stored[run] = map[int]int{}
		}
		for _, v := range x.Values {
			stored[run][int(v)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(acked) != 20 {
		t.Errorf("%d runs acknowledged something, want 20", len(acked))
	}
	for run, last := range acked {
		for i := range last + 1 {
			if stored[run][i] != 20 {
				t.Fatalf("run %s: batch %d of %d was acknowledged, %d of its 20 samples are there", run, i, last, stored[run][i])
			}
		}
		// At most the batch that was under way is there without having been acknowledged.
		if n := len(stored[run]); n > last+2 {
			t.Errorf("run %s: %d batches are stored, %d were acknowledged", run, n, last+1)
		}
	}
}

func note(t *testing.T, acked map[string]int, line string) {
	t.Helper()
	run, text, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(text)
	if err != nil {
		return // cut off by the kill
	}
	acked[run] = max(acked[run], n)
}
